//! The external state: which objects exist, what other controllers made of them, and what the servers report.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::jiff::Timestamp;
use kube::core::{DynamicObject, ObjectMeta};
use latchkey_crds::AuthService;

use super::error::DereferenceError;
use super::lookup::Lookup;
use crate::auth_service::autoscaler::{Autoscaler, decide_autoscaler};
use crate::auth_service::certificate::{Certificate, decide_certificate};
use crate::auth_service::problem::Problem;
use crate::auth_service::references::{api_tls_secret, tls_secret};
use crate::auth_service::server_reports::{Answer, Report};
use crate::auth_service::shared_database::Sharing;
use crate::auth_service::warnings::{Store, Warnings};
use crate::cluster::cache::Optional;
use crate::cluster::kinds::Kind;
use crate::names::Names;

/// The state of the objects that exist already, and of what other controllers made of them. The spec decides none of
/// it.
#[derive(Debug, Clone)]
pub(crate) struct ExternalState {
    pub operator_namespace: String,
    /// Other users of the external database.
    pub sharing: Sharing,
    /// The image that wrote the volume of the embedded PostgreSQL, if it has a volume.
    pub postgres_image: Option<String>,
    /// The metadata of the claim template of its StatefulSet, if that exists.
    pub postgres_claim: Option<ObjectMeta>,
    /// Whether the embedded PostgreSQL is ready.
    pub postgres_ready: bool,
    /// The existing migration Jobs.
    pub jobs: Vec<Job>,
    /// The cached Deployment.
    pub deployment: Option<Deployment>,
    /// The server's pods, by name.
    pub pods: Vec<Pod>,
    /// The reports of the server's pods.
    pub answers: Vec<Answer>,
    /// The migration's pods, by name.
    pub migration_pods: Vec<Pod>,
    /// Which optional kinds are installed.
    pub optional: Optional,
    pub autoscaler: Option<Autoscaler>,
    pub exposure: ExposureState,
    /// The embedded stores that exist and that the spec uses.
    pub stores: Vec<Store>,
    /// The warnings about objects that make no progress.
    pub warnings: Warnings,
}

impl ExternalState {
    /// Whether the Deployment exists and is scaled to zero.
    pub(crate) fn is_stopped(&self) -> bool {
        self.deployment.as_ref().is_some_and(|found| found.spec.replicas == Some(0))
    }

    /// The report of a server pod, if it responded.
    pub(crate) fn report_of(&self, pod: &str) -> Option<&Report> {
        self.answers.iter().find(|answer| answer.pod == pod)?.report.as_ref()
    }

    /// The reports of the servers that responded.
    pub(crate) fn reports(&self) -> impl Iterator<Item = &Report> {
        self.answers.iter().filter_map(|answer| answer.report.as_ref())
    }
}

/// The state of what exposes the API. A field is `None` if the object does not exist, or the spec has no such
/// reference.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExposureState {
    /// The check of the certificate in the Secret of the Ingress.
    pub tls: Option<Result<Certificate, Problem>>,
    /// The cached Ingress.
    pub ingress: Option<Ingress>,
    /// The cached HTTPRoute.
    pub http_route: Option<DynamicObject>,
    /// The cached Route.
    pub route: Option<DynamicObject>,
    /// The cached Certificate.
    pub certificate: Option<DynamicObject>,
    /// The check of the certificate of the API port, if the spec names its Secret.
    pub api_tls: Option<Result<Certificate, Problem>>,
    /// The cached Certificate of the API port.
    pub api_certificate: Option<DynamicObject>,
}

impl Lookup<'_> {
    pub(super) fn exposure_state(
        &self,
        auth_service: &AuthService,
        names: &Names,
    ) -> Result<ExposureState, DereferenceError> {
        let exposure = auth_service.spec.exposure.as_ref();
        let tls = tls_secret(exposure);
        let host = exposure.and_then(|exposure| exposure.ingress.as_ref()).map(|ingress| &*ingress.host);
        let owned = |kind, name: &str| {
            let object = self.context.cache.get(kind, &self.namespace, name)?;
            object.is_controlled_by(&self.uid).then(|| object.object())
        };
        let service_name = format!("{}.{}.svc", self.name, self.namespace);
        Ok(ExposureState {
            tls: tls.map(|name| {
                let keys = ["tls.crt", "tls.key"];
                let [chain, _] = self.values(name, keys, "spec.exposure.ingress.tls.secretName")?;
                Ok(decide_certificate(chain.expose().as_bytes(), Timestamp::now(), host.as_slice()))
            }),
            ingress: self.owned(Kind::Ingress, names.base())?,
            http_route: owned(Kind::HttpRoute, names.base()),
            route: owned(Kind::Route, names.base()),
            certificate: owned(Kind::Certificate, names.base()),
            api_tls: api_tls_secret(auth_service).map(|name| {
                let pair = self.api_certificate(name)?;
                let chain = pair.certificate.expose().as_bytes();
                Ok(decide_certificate(chain, Timestamp::now(), &[&service_name]))
            }),
            api_certificate: owned(Kind::Certificate, &names.api_certificate()),
        })
    }

    pub(super) fn autoscaler(&self, names: &Names) -> Result<Option<Autoscaler>, DereferenceError> {
        let found: Option<HorizontalPodAutoscaler> =
            self.owned(Kind::HorizontalPodAutoscaler, names.base())?;
        Ok(found.map(|autoscaler| decide_autoscaler(&autoscaler, Timestamp::now())))
    }

    /// A changed version counts as changed content.
    pub(super) fn config_map_version(&self, name: &str) -> Result<String, Problem> {
        let found = self.config_maps.get(name).and_then(Option::as_ref).ok_or_else(|| {
            Problem::new(
                "ConfigMapMissing",
                format!(
                    "spec.email.templatesConfigMapRef references the ConfigMap {name}, which does not exist: create it, or remove the reference."
                ),
            )
        })?;
        let uid = found.uid().unwrap_or_default();
        Ok(format!("{uid}/{}", found.version().unwrap_or_default()))
    }
}

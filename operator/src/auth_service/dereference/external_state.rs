//! The external state: referenced files, and the state of the objects that other controllers manage.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::jiff::Timestamp;
use kube::core::DynamicObject;
use latchkey_crds::AuthService;

use super::error::DereferenceError;
use super::lookup::Lookup;
use crate::auth_service::autoscaler::{Autoscaler, decide_autoscaler};
use crate::auth_service::certificate::{Certificate, decide_certificate};
use crate::auth_service::problem::Problem;
use crate::auth_service::references::{templates, tls_secret};
use crate::cluster::kinds::Kind;
use crate::names::Names;

/// The external state. A field is `None` if the spec has no such reference.
#[derive(Debug, Clone, Default)]
pub struct ExternalState {
    /// The namespace of the operator.
    pub operator_namespace: String,
    /// The version of the ConfigMap with custom templates.
    pub templates: Option<Result<String, Problem>>,
    /// The check of the certificate in the Secret of the Ingress.
    pub tls: Option<Result<Certificate, Problem>>,
    /// The state of the autoscaler.
    pub autoscaler: Option<Autoscaler>,
    /// The cached Ingress.
    pub ingress: Option<Ingress>,
    /// The cached HTTPRoute.
    pub http_route: Option<DynamicObject>,
    /// The cached Certificate.
    pub certificate: Option<DynamicObject>,
}

impl Lookup<'_> {
    pub(super) fn external_state(
        &self,
        auth_service: &AuthService,
        names: &Names,
    ) -> Result<ExternalState, DereferenceError> {
        let exposure = auth_service.spec.exposure.as_ref();
        let tls = tls_secret(exposure);
        let host = exposure.and_then(|exposure| exposure.ingress.as_ref()).map(|ingress| &*ingress.host);
        let foreign = |kind| {
            let object = self.context.cache.get(kind, &self.namespace, names.base())?;
            object.is_controlled_by(&self.uid).then(|| object.object())
        };
        Ok(ExternalState {
            operator_namespace: self.context.operator_namespace.clone(),
            templates: templates(auth_service).map(|name| self.config_map_version(name)),
            tls: tls.map(|name| {
                let keys = ["tls.crt", "tls.key"];
                let [chain, _] = self.values(name, keys, "spec.exposure.ingress.tls.secretName")?;
                Ok(decide_certificate(chain.expose().as_bytes(), Timestamp::now(), host.as_slice()))
            }),
            autoscaler: self
                .owned::<HorizontalPodAutoscaler>(Kind::HorizontalPodAutoscaler, names.base())?
                .map(|autoscaler| decide_autoscaler(&autoscaler, Timestamp::now())),
            ingress: self.owned(Kind::Ingress, names.base())?,
            http_route: foreign(Kind::HttpRoute),
            certificate: foreign(Kind::Certificate),
        })
    }

    /// A changed version counts as changed content.
    fn config_map_version(&self, name: &str) -> Result<String, Problem> {
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

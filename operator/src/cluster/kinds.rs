//! The kinds of objects that the operator creates or watches.

use std::fmt;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;

use crate::cluster::lenient::problem_of;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    BackendTlsPolicy,
    Certificate,
    ConfigMap,
    Deployment,
    HorizontalPodAutoscaler,
    HttpRoute,
    Ingress,
    Job,
    NetworkPolicy,
    Pod,
    PodDisruptionBudget,
    Route,
    Secret,
    Service,
    ServiceAccount,
    ServiceMonitor,
    StatefulSet,
}

impl Kind {
    /// The kinds that every cluster has; all of them are watched.
    pub(crate) const BUILT_IN: [Self; 12] = [
        Self::ConfigMap,
        Self::Deployment,
        Self::HorizontalPodAutoscaler,
        Self::Ingress,
        Self::Job,
        Self::NetworkPolicy,
        Self::Pod,
        Self::PodDisruptionBudget,
        Self::Secret,
        Self::Service,
        Self::ServiceAccount,
        Self::StatefulSet,
    ];

    /// The kinds of optional APIs. They may be installed and removed while the operator runs; each is watched while
    /// its definition exists.
    pub(crate) const OPTIONAL: [Self; 5] =
        [Self::BackendTlsPolicy, Self::Certificate, Self::HttpRoute, Self::Route, Self::ServiceMonitor];

    /// The name of the CustomResourceDefinition of an optional kind.
    pub(crate) fn definition(self) -> String {
        let resource = self.api_resource();
        format!("{}.{}", resource.plural, resource.group)
    }

    /// Group, version and plural, as requests need them.
    pub(crate) fn api_resource(self) -> ApiResource {
        match self {
            Self::BackendTlsPolicy => {
                foreign("gateway.networking.k8s.io", "BackendTLSPolicy", "backendtlspolicies")
            }
            Self::Certificate => foreign("cert-manager.io", "Certificate", "certificates"),
            Self::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::HorizontalPodAutoscaler => ApiResource::erase::<HorizontalPodAutoscaler>(&()),
            Self::HttpRoute => foreign("gateway.networking.k8s.io", "HTTPRoute", "httproutes"),
            Self::Ingress => ApiResource::erase::<Ingress>(&()),
            Self::Job => ApiResource::erase::<Job>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::Pod => ApiResource::erase::<Pod>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::Route => foreign("route.openshift.io", "Route", "routes"),
            Self::Secret => ApiResource::erase::<Secret>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
            Self::ServiceMonitor => foreign("monitoring.coreos.com", "ServiceMonitor", "servicemonitors"),
        }
    }

    /// The parts of its objects (JSON pointers) that are never read. They are not cached, and a change of them alone
    /// is not a change.
    pub(crate) fn ignored(self) -> &'static [&'static str] {
        match self {
            Self::NetworkPolicy | Self::PodDisruptionBudget | Self::Service => &["/status"],
            // The template is that of the Deployment; the result is in the status.
            Self::Pod => &["/spec"],
            // The current load, which changes with every evaluation by the autoscaler.
            Self::HorizontalPodAutoscaler => &[
                "/status/currentMetrics",
                "/status/currentReplicas",
                "/status/desiredReplicas",
                "/status/lastScaleTime",
            ],
            Self::BackendTlsPolicy
            | Self::Certificate
            | Self::ConfigMap
            | Self::Deployment
            | Self::HttpRoute
            | Self::Ingress
            | Self::Job
            | Self::Route
            | Self::Secret
            | Self::ServiceAccount
            | Self::ServiceMonitor
            | Self::StatefulSet => &[],
        }
    }

    /// The part of an object of this kind that cannot be parsed, if any. Kinds that are only compared as JSON have no
    /// type here.
    pub(crate) fn problem_of(self, object: &DynamicObject) -> Option<Box<str>> {
        let check: fn(&Value) -> Option<Box<str>> = match self {
            Self::Deployment => problem_of::<Deployment>,
            Self::HorizontalPodAutoscaler => problem_of::<HorizontalPodAutoscaler>,
            Self::Ingress => problem_of::<Ingress>,
            Self::Job => problem_of::<Job>,
            Self::Pod => problem_of::<Pod>,
            Self::StatefulSet => problem_of::<StatefulSet>,
            Self::BackendTlsPolicy
            | Self::Certificate
            | Self::ConfigMap
            | Self::HttpRoute
            | Self::NetworkPolicy
            | Self::PodDisruptionBudget
            | Self::Route
            | Self::Secret
            | Self::Service
            | Self::ServiceAccount
            | Self::ServiceMonitor => return None,
        };
        check(&object.data)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BackendTlsPolicy => "BackendTLSPolicy",
            Self::Certificate => "Certificate",
            Self::ConfigMap => "ConfigMap",
            Self::Deployment => "Deployment",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::HttpRoute => "HTTPRoute",
            Self::Ingress => "Ingress",
            Self::Job => "Job",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Pod => "Pod",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::Route => "Route",
            Self::Secret => "Secret",
            Self::Service => "Service",
            Self::ServiceAccount => "ServiceAccount",
            Self::ServiceMonitor => "ServiceMonitor",
            Self::StatefulSet => "StatefulSet",
        }
    }
}

/// A kind for which this crate has no type; each is at version `v1`.
fn foreign(group: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

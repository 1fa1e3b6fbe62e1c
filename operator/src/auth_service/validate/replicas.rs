//! The number of replicas. Pure.

use k8s_openapi::api::apps::v1::Deployment;
use latchkey_crds::auth_service::Autoscaling;

use super::validated::Validated;

impl Validated {
    /// The autoscaling, if it is active: a service that is scaled to zero has none.
    pub(crate) fn autoscaling(&self) -> Option<&Autoscaling> {
        self.spec.autoscaling.as_ref().filter(|_| self.spec.replicas > 0)
    }

    /// The number of replicas in the Deployment; `None` leaves it to the autoscaler.
    pub(crate) fn replicas(&self) -> Option<i32> {
        self.autoscaling().is_none().then_some(self.spec.replicas)
    }

    /// The currently desired number of replicas: the autoscaler's if autoscaling is active.
    pub(crate) fn replicas_now(&self, deployment: Option<&Deployment>) -> i32 {
        self.replicas().unwrap_or_else(|| deployment.and_then(|found| found.spec.replicas).unwrap_or(1))
    }

    /// The maximum number of replicas.
    pub(crate) fn most_replicas(&self) -> i32 {
        self.autoscaling().map_or(self.spec.replicas, |autoscaling| autoscaling.max_replicas)
    }
}

/// The initial number for the autoscaler: the current number within its bounds. The autoscaler ignores a Deployment
/// without replicas.
pub(crate) fn first_replicas(autoscaling: &Autoscaling, live: i32) -> i32 {
    live.min(autoscaling.max_replicas).max(autoscaling.min_replicas)
}

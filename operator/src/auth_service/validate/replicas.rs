//! How many replicas there are to be. Pure.

use k8s_openapi::api::apps::v1::Deployment;
use latchkey_crds::auth_service::Autoscaling;

use super::validated::Validated;

impl Validated {
    /// The autoscaling, while it has a say: it has none over a service that is stopped.
    pub fn autoscaling(&self) -> Option<&Autoscaling> {
        self.spec.autoscaling.as_ref().filter(|_| self.spec.replicas > 0)
    }

    /// The Deployment's number of replicas; `None` leaves it to the autoscaler.
    pub fn replicas(&self) -> Option<i32> {
        self.autoscaling().is_none().then_some(self.spec.replicas)
    }

    /// How many replicas there are to be now: what the autoscaler has set, where it decides.
    pub fn replicas_now(&self, deployment: Option<&Deployment>) -> i32 {
        self.replicas().unwrap_or_else(|| deployment.and_then(|found| found.spec.replicas).unwrap_or(1))
    }

    /// Whether there is a Deployment, and none of its replicas is wanted.
    pub fn is_stopped(&self) -> bool {
        self.deployment.as_ref().is_some_and(|found| found.spec.replicas == Some(0))
    }

    /// The most replicas that there can be.
    pub fn most_replicas(&self) -> i32 {
        self.autoscaling().map_or(self.spec.replicas, |autoscaling| autoscaling.max_replicas)
    }
}

/// What the autoscaler begins with: what there is, within its bounds. It leaves a Deployment of none alone.
pub fn first_replicas(autoscaling: &Autoscaling, live: i32) -> i32 {
    live.min(autoscaling.max_replicas).max(autoscaling.min_replicas)
}

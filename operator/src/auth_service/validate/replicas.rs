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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth_service::fixtures::{auth_service, embedded, validated};

    #[test]
    fn the_first_number_for_the_autoscaler_is_within_its_bounds() {
        let service = validated(
            &auth_service(json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 5}})),
            embedded(),
        );
        let autoscaling = service.autoscaling().unwrap();
        let first = |live| first_replicas(autoscaling, live);
        assert_eq!([0, 1, 2, 4, 5, 6].map(first), [2, 2, 2, 4, 5, 5]);
    }

    #[test]
    fn the_autoscaler_decides_the_number_unless_the_service_is_scaled_to_zero() {
        let service = |spec| validated(&auth_service(spec), embedded());
        let numbers = |service: &Validated| (service.replicas(), service.most_replicas());
        assert_eq!(numbers(&service(json!({"replicas": 3}))), (Some(3), 3));
        assert_eq!(numbers(&service(json!({"replicas": 3, "autoscaling": {"maxReplicas": 9}}))), (None, 9));
        assert_eq!(
            numbers(&service(json!({"replicas": 0, "autoscaling": {"maxReplicas": 9}}))),
            (Some(0), 0)
        );
        let autoscaled = service(json!({"autoscaling": {"maxReplicas": 9}}));
        let mut deployment = Deployment::default();
        deployment.spec.replicas = Some(4);
        assert_eq!((autoscaled.replicas_now(Some(&deployment)), autoscaled.replicas_now(None)), (4, 1));
        assert_eq!(service(json!({"replicas": 3})).replicas_now(Some(&deployment)), 3);
    }
}

//! How the server's pods are replaced.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How the Deployment replaces the server's pods when they change. By default one pod is added before another is removed,
/// so that no replica is missing. In a quota without room for another pod, or with as many replicas as nodes and a required
/// anti-affinity, set maxSurge to 0 and maxUnavailable to 1.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(string(self.maxSurge) in ['0', '0%'] && string(self.maxUnavailable) in ['0', '0%'])")
    .message("spec.rollout: maxSurge and maxUnavailable must not both be 0, because then no pod could be replaced"))]
pub struct Rollout {
    /// The number or percentage of pods that may exist in addition to spec.replicas, rounded up. Each has a connection pool.
    #[serde(default = "one")]
    #[schemars(extend("minimum" = 0, "maximum" = 100, "maxLength" = 4, "pattern" = "^([0-9]|[1-9][0-9]|100)%$"))]
    pub max_surge: IntOrString,
    /// The number or percentage of replicas that may be missing, rounded down.
    #[serde(default = "none")]
    #[schemars(extend("minimum" = 0, "maximum" = 100, "maxLength" = 4, "pattern" = "^([0-9]|[1-9][0-9]|100)%$"))]
    pub max_unavailable: IntOrString,
}

fn one() -> IntOrString {
    IntOrString::Int(1)
}

fn none() -> IntOrString {
    IntOrString::Int(0)
}

impl Default for Rollout {
    fn default() -> Self {
        Self { max_surge: one(), max_unavailable: none() }
    }
}

//! How many replicas there are, by load.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A HorizontalPodAutoscaler (autoscaling/v2) that adds and takes away replicas by CPU load. Needs metrics-server
/// or something else that serves metrics.k8s.io.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas")
    .message("spec.autoscaling.maxReplicas must be at least spec.autoscaling.minReplicas: raise the first or lower the second"))]
pub struct Autoscaling {
    /// The fewest replicas. Below 2, the loss of a node interrupts the service.
    #[serde(default = "fewest")]
    #[schemars(range(min = 1, max = 100))]
    pub min_replicas: i32,
    /// The most replicas. Each holds a pool of connections to PostgreSQL, which has to allow that many.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,
    /// The CPU load that is aimed at, in percent of what each pod requests (spec.pod.resources.requests.cpu).
    #[serde(rename = "targetCPUUtilization", default = "seventy_percent")]
    #[schemars(range(min = 1, max = 10_000))]
    pub target_cpu_utilization: i32,
    /// How long the load must have been lower before replicas are taken away, in seconds.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 0, max = 3600))]
    pub scale_down_after_seconds: i32,
}

fn fewest() -> i32 {
    2
}

fn seventy_percent() -> i32 {
    70
}

fn five_minutes() -> i32 {
    300
}

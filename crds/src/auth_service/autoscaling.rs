//! Autoscaling of the server.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A HorizontalPodAutoscaler (autoscaling/v2) that scales the server by CPU load. Requires metrics-server or another
/// implementation of metrics.k8s.io.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas")
    .message("spec.autoscaling.maxReplicas must be at least spec.autoscaling.minReplicas: raise the first or lower the second"))]
pub struct Autoscaling {
    /// The minimum number of replicas. With fewer than 2, the loss of a node interrupts the service.
    #[serde(default = "fewest")]
    #[schemars(range(min = 1, max = 100))]
    pub min_replicas: i32,
    /// The maximum number of replicas. Each replica has its own connection pool; PostgreSQL must allow the total
    /// number of connections.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,
    /// The target CPU utilization, in percent of spec.pod.resources.requests.cpu.
    #[serde(rename = "targetCPUUtilization", default = "seventy_percent")]
    #[schemars(range(min = 1, max = 10_000))]
    pub target_cpu_utilization: i32,
    /// The stabilization window for scaling down, in seconds.
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

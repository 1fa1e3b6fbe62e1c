//! The Job that migrates the database schema.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The Job that migrates the database schema before a new version of the server is rolled out. It is scheduled like the
/// server's pods.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// Additional labels of the Job's pods, such as `sidecar.istio.io/inject: "false"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("additionalProperties" = {
        "type": "string", "maxLength": 63, "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
    }))]
    #[x_kube(validation = Rule::new("!('app.kubernetes.io/managed-by' in self || 'app.kubernetes.io/name' in self || 'app.kubernetes.io/instance' in self || 'app.kubernetes.io/component' in self)")
        .message("spec.migration.labels: the app.kubernetes.io labels name, instance, component and managed-by are reserved for the operator"))]
    pub labels: BTreeMap<String, String>,
    /// Additional annotations of the Job's pods, such as `linkerd.io/inject: disabled`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// CPU and memory of the container. Default: requests of 50m and 64Mi, a memory limit of 256Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// How long all attempts together may take, written with h, m and s, such as 6h for a large database. After it the
    /// Job fails; the operator starts it again after five minutes.
    #[serde(default = "default_deadline")]
    #[schemars(length(min = 2, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,6}[hms])+$') && duration(self) >= duration('1m') && duration(self) <= duration('168h')")
        .message("spec.migration.deadline must be between 1m and 168h (a week), such as 15m or 6h"))]
    pub deadline: String,
    /// The number of retries after a failed attempt, before the Job fails.
    #[serde(default = "default_backoff_limit")]
    #[schemars(range(min = 0, max = 100))]
    pub backoff_limit: i32,
}

fn default_deadline() -> String {
    "15m".to_owned()
}

const fn default_backoff_limit() -> i32 {
    5
}

impl Default for Migration {
    fn default() -> Self {
        Self {
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            resources: None,
            deadline: default_deadline(),
            backoff_limit: default_backoff_limit(),
        }
    }
}

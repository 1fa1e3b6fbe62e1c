//! Overrides of the pod template, and the ServiceAccount of the server's pods.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A part of a pod template, as YAML of Kubernetes. Its fields are checked by the operator and by the API server when it
/// becomes a part of the Deployment: their schema would be larger than the rest of the definition.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(transparent)]
pub struct PodTemplate(pub Map<String, Value>);

impl JsonSchema for PodTemplate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PodTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
    }
}

/// The ServiceAccount of the server's pods.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccount {
    /// Annotations of the ServiceAccount, such as `eks.amazonaws.com/role-arn`, which lets the pods log in to a cloud.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[x_kube(validation = Rule::new("!('latchkey.dev/rendered' in self)")
        .message("spec.serviceAccount.annotations: latchkey.dev/rendered is reserved for the operator"))]
    pub annotations: BTreeMap<String, String>,
}

//! A cached object: the fields that are read often, and the JSON in compressed form, which takes a tenth of the
//! memory of the parsed object and is decompressed and parsed on demand.

use kube::ResourceExt;
use kube::core::DynamicObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cluster::controller_reference::controller_of;
use crate::cluster::kinds::Kind;
use crate::names::{ANNOTATIONS, Component, DATABASE_ANNOTATION, INSTANCE};

/// The same text gives the same bytes.
fn pack(text: &[u8]) -> Box<[u8]> {
    lz4_flex::compress_prepend_size(text).into_boxed_slice()
}

/// Empty, which is not valid JSON, if the input was not compressed by [`pack`].
fn unpack(packed: &[u8]) -> Vec<u8> {
    lz4_flex::decompress_size_prepended(packed).unwrap_or_default()
}

/// The maximum length of a string in a pod's status, in bytes; the beginning of a longer string is cut.
const POD_TEXT: usize = 1024;
/// The maximum number of elements of a list in a pod's status.
const POD_LIST: usize = 32;
/// The maximum length of a database id, in bytes. A longer value is not a hash and is ignored.
const DATABASE_ID: usize = 128;
/// The prefix of the pod labels that are cached.
const LABELS: &str = "app.kubernetes.io/";

/// Bounds a cached pod: its containers write parts of its status, and other programs its annotations.
fn bound_pod(pod: &mut DynamicObject) {
    if let Some(labels) = &mut pod.metadata.labels {
        labels.retain(|name, _| name.starts_with(LABELS));
    }
    if let Some(annotations) = &mut pod.metadata.annotations {
        annotations.retain(|name, _| name.starts_with(ANNOTATIONS));
    }
    if let Some(status) = pod.data.get_mut("status") {
        bound_value(status);
    }
}

fn bound_value(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > POD_TEXT => {
            let start = text.ceil_char_boundary(text.len() - POD_TEXT);
            *text = text[start..].to_owned();
        }
        Value::Array(elements) => {
            elements.truncate(POD_LIST);
            elements.iter_mut().for_each(bound_value);
        }
        Value::Object(members) => members.values_mut().for_each(bound_value),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A cached object, without the parts that are never read.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct CachedObject {
    uid: Option<Box<str>>,
    version: Option<Box<str>>,
    controller: Option<Controller>,
    instance: Option<Box<str>>,
    component: Option<Box<str>>,
    database: Option<Box<str>>,
    deleting: bool,
    ended: bool,
    problem: Option<Box<str>>,
    packed: Box<[u8]>,
}

/// The controller of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Controller {
    pub(crate) kind: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) uid: Box<str>,
}

// Secrets are among them.
impl std::fmt::Debug for CachedObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedObject")
            .field("uid", &self.uid)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl CachedObject {
    /// The cached part of an object of this kind.
    pub(crate) fn new(kind: Kind, mut object: DynamicObject) -> Self {
        let boxed = |text: Option<String>| text.map(String::into_boxed_str);
        object.metadata.managed_fields = None;
        if kind == Kind::Pod {
            // The Job controller removes its finalizer from every pod that it has counted.
            object.metadata.finalizers = None;
            bound_pod(&mut object);
        }
        // Stored separately, so that a new version with the same content is recognized.
        let version = boxed(object.metadata.resource_version.take());
        for part in kind.ignored() {
            let (parent, member) = part.rsplit_once('/').unwrap_or_default();
            if let Some(members) = object.data.pointer_mut(parent).and_then(Value::as_object_mut) {
                members.remove(member);
            }
        }
        let problem = kind.problem_of(&object);
        let phase = object.data.pointer("/status/phase").and_then(Value::as_str);
        let ended = kind == Kind::Pod && matches!(phase, Some("Succeeded" | "Failed"));
        let label = |name: &str| object.labels().get(name).map(|text| text.as_str().into());
        Self {
            uid: boxed(object.metadata.uid.clone()),
            version,
            controller: controller_of(&object).map(|owner| Controller {
                kind: owner.kind.as_str().into(),
                name: owner.name.as_str().into(),
                uid: owner.uid.as_str().into(),
            }),
            instance: label(INSTANCE),
            component: label(Component::LABEL),
            database: object
                .annotations()
                .get(DATABASE_ANNOTATION)
                .filter(|text| text.len() <= DATABASE_ID)
                .map(|text| text.as_str().into()),
            deleting: object.metadata.deletion_timestamp.is_some(),
            ended,
            problem,
            // A value parsed from JSON can be serialized as JSON.
            packed: pack(&serde_json::to_vec(&object).unwrap_or_default()),
        }
    }

    pub(crate) fn uid(&self) -> Option<String> {
        self.uid.as_deref().map(str::to_owned)
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Its controller, if it has one.
    pub(crate) fn controller(&self) -> Option<&Controller> {
        self.controller.as_ref()
    }

    /// Whether the controller has this uid.
    pub(crate) fn is_controlled_by(&self, uid: &str) -> bool {
        self.controller().is_some_and(|controller| &*controller.uid == uid)
    }

    /// The AuthService in its instance label.
    pub(crate) fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    pub(crate) fn component(&self) -> Option<&str> {
        self.component.as_deref()
    }

    /// The database in its annotation.
    pub(crate) fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// Whether it is being deleted.
    pub(crate) fn is_deleting(&self) -> bool {
        self.deleting
    }

    /// Whether it is a terminated pod.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The part that cannot be parsed as its kind, if any.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Whether the other object is equal except for its version.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.packed == other.packed
    }

    /// The object, without the parts that are not cached; `None` if it cannot be parsed as the requested type.
    pub(crate) fn parse<T: kube::Resource + DeserializeOwned>(&self) -> Option<T> {
        let mut object: T = serde_json::from_slice(&unpack(&self.packed)).ok()?;
        object.meta_mut().resource_version = self.version().map(str::to_owned);
        Some(object)
    }

    /// The object, without the parts that are not cached.
    pub(crate) fn object(&self) -> DynamicObject {
        let mut object: DynamicObject = serde_json::from_slice(&unpack(&self.packed)).unwrap_or_else(|_| {
            DynamicObject { types: None, metadata: kube::core::ObjectMeta::default(), data: Value::Null }
        });
        object.metadata.resource_version = self.version().map(str::to_owned);
        object
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::ResourceExt;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cached_pod_is_bounded() {
        let terminated = json!({"exitCode": 1, "message": format!("{}the end", "x".repeat(4096))});
        let container = json!({
            "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": terminated},
        });
        let pod: DynamicObject = serde_json::from_value(json!({
            "metadata": {
                "name": "p",
                "labels": {"app.kubernetes.io/instance": "auth", "theirs": "x"},
                "annotations": {"latchkey.dev/keys": "1", "theirs": "x".repeat(200_000)},
            },
            "spec": {"containers": []},
            "status": {"containerStatuses": vec![container; 500], "message": "x".repeat(100_000)},
        }))
        .unwrap();
        let cached = CachedObject::new(Kind::Pod, pod);
        assert!(unpack(&cached.packed).len() < 100_000);
        let pod: Pod = cached.parse().unwrap();
        assert_eq!((pod.labels().len(), pod.annotations().len()), (1, 1));
        let statuses = pod.status.unwrap().container_statuses.unwrap();
        let message = statuses[0].state.as_ref().unwrap().terminated.as_ref().unwrap().message.as_ref();
        assert!(message.unwrap().ends_with("the end"));
    }

    #[test]
    fn the_unreadable_part_of_an_object_is_named() {
        let odd = json!({"status": {"conditions": [{"type": "a", "status": "True", "lastUpdateTime": "9999-12-31T23:59:59Z"}]}});
        let object: DynamicObject = serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": {"selector": {}, "template": {}}, "status": odd["status"]})).unwrap();
        let cached = CachedObject::new(Kind::Deployment, object);
        assert!(
            cached.problem().unwrap().contains("status.conditions[0].lastUpdateTime"),
            "{:?}",
            cached.problem()
        );
        assert!(cached.parse::<k8s_openapi::api::apps::v1::Deployment>().is_none());
    }
}

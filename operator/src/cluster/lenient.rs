//! Types for lists and watches whose parsing never fails. One unreadable object must not hide all others of its kind,
//! because a user with write access to one object could then stop the operator. `kube`'s `DeserializeGuard` requires
//! readable metadata, and a user can write unreadable metadata: a time in `managedFields` beyond the range of the
//! time library.

use std::marker::PhantomData;

use kube::core::{DynamicObject, ObjectMeta, TypeMeta};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The maximum number of values removed from an object to make the rest of it readable.
const MOST_REMOVED: usize = 32;
/// The maximum length of a path in a problem, in characters.
const PATH: usize = 200;
/// The maximum length of a list of expected values in a problem, in characters.
const EXPECTED: usize = 300;

/// The readable part of a value, and the problem with the rest.
#[derive(Debug)]
pub(crate) struct Salvaged<T> {
    /// The value without the unreadable parts.
    pub(crate) value: T,
    /// The unreadable part, as a noun phrase without any value.
    pub(crate) problem: Option<Box<str>>,
}

/// Parses the value at `root` of an object. Unreadable parts are left out.
pub(crate) fn salvage<T: DeserializeOwned + Default>(root: &str, mut value: Value) -> Salvaged<T> {
    let mut problem = None;
    for _ in 0..MOST_REMOVED {
        match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(read) => return Salvaged { value: read, problem },
            Err(error) => {
                let path = segments(error.path());
                problem.get_or_insert_with(|| describe(root, &path, &error.inner().to_string()));
                if !remove(&mut value, &path) {
                    break;
                }
            }
        }
    }
    Salvaged { value: T::default(), problem }
}

/// The part of a value that cannot be parsed as a `T`, if any.
pub(crate) fn problem_of<T: DeserializeOwned>(value: &Value) -> Option<Box<str>> {
    let error = serde_path_to_error::deserialize::<_, T>(value).err()?;
    Some(describe("", &segments(error.path()), &error.inner().to_string()))
}

/// One step of a path into a value.
enum Step {
    Key(String),
    Index(usize),
}

fn segments(path: &serde_path_to_error::Path) -> Vec<Step> {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Removes the part at the path; `false` if it does not exist, or the path is empty.
fn remove(value: &mut Value, path: &[Step]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let mut parent = value;
    for step in parents {
        let next = match step {
            Step::Key(key) => parent.get_mut(key),
            Step::Index(index) => parent.get_mut(index),
        };
        match next {
            Some(next) => parent = next,
            None => return false,
        }
    }
    match (last, parent) {
        (Step::Key(key), Value::Object(members)) => members.remove(key).is_some(),
        (Step::Index(index), Value::Array(elements)) if *index < elements.len() => {
            elements.remove(*index);
            true
        }
        _ => false,
    }
}

/// Describes the part and what was expected there. The error's own text may repeat the value; only those parts of it
/// are used that the types of this program determine.
fn describe(root: &str, path: &[Step], error: &str) -> Box<str> {
    const OF_THE_TYPES: [&str; 4] =
        ["unknown variant `", "invalid type: ", "invalid value: ", "invalid length "];
    let mut place = root.to_owned();
    for step in path {
        match step {
            Step::Key(key) => {
                if !place.is_empty() {
                    place.push('.');
                }
                place.push_str(key);
            }
            Step::Index(index) => place = format!("{place}[{index}]"),
        }
    }
    let place = shortened(&place, PATH);
    let expected = if OF_THE_TYPES.iter().any(|start| error.starts_with(start)) {
        error.rsplit_once(", expected ").map(|(_, expected)| format!("expected {expected}"))
    } else if error.starts_with("missing field `") {
        Some(error.to_owned())
    } else {
        None
    };
    let expected = expected.map(|text| format!(" ({})", shortened(&text, EXPECTED))).unwrap_or_default();
    format!("`{place}`{expected}").into_boxed_str()
}

/// The text without control characters, truncated.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(most).collect();
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    short
}

/// Metadata without its managed fields, which are never read, and without unreadable parts.
pub(crate) fn metadata(mut value: Value) -> ObjectMeta {
    if let Some(members) = value.as_object_mut() {
        members.remove("managedFields");
    }
    if value.is_null() {
        return ObjectMeta::default();
    }
    salvage("metadata", value).value
}

/// An object with a spec and a status, without the unreadable parts.
#[derive(Debug)]
pub(crate) struct SalvagedObject<Spec, Status> {
    pub(crate) metadata: ObjectMeta,
    pub(crate) spec: Spec,
    /// `None` if there is none.
    pub(crate) status: Option<Status>,
    /// The status as it is stored.
    pub(crate) stored_status: Value,
    /// The unreadable part of the spec or of the status, as a noun phrase without any value.
    pub(crate) problem: Option<Box<str>>,
}

impl<'de, Spec, Status> Deserialize<'de> for SalvagedObject<Spec, Status>
where
    Spec: DeserializeOwned + Default,
    Status: DeserializeOwned + Default,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            #[serde(default)]
            metadata: Value,
            #[serde(default)]
            spec: Value,
            #[serde(default)]
            status: Value,
        }
        let object = Object::deserialize(deserializer)?;
        let spec = salvage("spec", object.spec);
        let (status, problem) = if object.status.is_null() {
            (None, None)
        } else {
            let read = salvage::<Status>("status", object.status.clone());
            (Some(read.value), read.problem)
        };
        Ok(Self {
            metadata: metadata(object.metadata),
            spec: spec.value,
            status,
            stored_status: object.status,
            problem: spec.problem.or(problem),
        })
    }
}

/// Implements `Resource` with the names of another type and the metadata at the given place. `derive(Resource)` needs
/// a field `metadata` and a type without parameters.
macro_rules! inherit_resource {
    ([$($generics:tt)*] $type:ty, $inherited:ty, |$object:ident| $metadata:expr $(, { $($items:tt)* })?) => {
        impl<$($generics)*> kube::Resource for $type {
            type DynamicType = <$inherited as kube::Resource>::DynamicType;
            type Scope = <$inherited as kube::Resource>::Scope;

            fn kind(dynamic: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                <$inherited as kube::Resource>::kind(dynamic)
            }

            fn group(dynamic: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                <$inherited as kube::Resource>::group(dynamic)
            }

            fn version(dynamic: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                <$inherited as kube::Resource>::version(dynamic)
            }

            fn plural(dynamic: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                <$inherited as kube::Resource>::plural(dynamic)
            }

            fn meta(&self) -> &kube::core::ObjectMeta {
                let $object = self;
                &$metadata
            }

            fn meta_mut(&mut self) -> &mut kube::core::ObjectMeta {
                let $object = self;
                &mut $metadata
            }

            $($($items)*)?
        }
    };
}
pub(crate) use inherit_resource;

/// Any object. Unreadable metadata is left out; the rest remains.
#[derive(Debug, Clone)]
pub(crate) struct AnyObject(pub(crate) DynamicObject);

impl<'de> Deserialize<'de> for AnyObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Map::deserialize(deserializer)?;
        let metadata = metadata(members.remove("metadata").unwrap_or_default());
        let mut text = |name: &str| match members.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let types = match (text("apiVersion"), text("kind")) {
            (Some(api_version), Some(kind)) => Some(TypeMeta { api_version, kind }),
            _ => None,
        };
        Ok(Self(DynamicObject { types, metadata, data: Value::Object(members) }))
    }
}

inherit_resource!([] AnyObject, DynamicObject, |object| object.0.metadata);

/// The identity and version of an object of kind `K`. Only metadata is requested, and only this part of it is stored:
/// labels, annotations and managed fields of other objects are unbounded.
#[derive(Debug)]
pub(crate) struct Identity<K> {
    metadata: ObjectMeta,
    kind: PhantomData<fn() -> K>,
}

// Without the bound on `K` that a derived implementation would have.
impl<K> Clone for Identity<K> {
    fn clone(&self) -> Self {
        Self { metadata: self.metadata.clone(), kind: PhantomData }
    }
}

impl<'de, K> Deserialize<'de> for Identity<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            name: Option<String>,
            namespace: Option<String>,
            uid: Option<String>,
            resource_version: Option<String>,
        }
        let Metadata { name, namespace, uid, resource_version } = Object::deserialize(deserializer)?.metadata;
        let metadata = ObjectMeta { name, namespace, uid, resource_version, ..ObjectMeta::default() };
        Ok(Self { metadata, kind: PhantomData })
    }
}

inherit_resource!([K: kube::Resource] Identity<K>, K, |object| object.metadata, {
    fn metadata_api() -> bool {
        true
    }
});

#[cfg(test)]
#[path = "lenient_tests.rs"]
mod tests;

//! Objects as the API server stores them. One that this release cannot read, such as one that a later release wrote, or one of
//! another tenant, hides no other.

use std::fmt;

use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The objects of a list.
pub struct Listed<K> {
    /// Those that this release can read.
    pub read: Vec<K>,
    pub unreadable: Vec<Unreadable>,
}

/// An object that this release cannot read. It is displayed as a sentence without any of its values.
pub struct Unreadable {
    pub name: String,
    pub value: Value,
    kind: String,
    namespace: String,
    /// The part that cannot be read.
    path: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, namespace, path, .. } = self;
        let place = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        write!(
            f,
            "{kind} {place}{name} cannot be read, because this release does not know what {path} contains"
        )?;
        f.write_str("; a later one may")
    }
}

impl<K> Listed<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    /// Reads each of these values.
    pub fn of(values: Vec<Value>) -> Self {
        let mut listed = Self { read: Vec::new(), unreadable: Vec::new() };
        for value in values {
            match read(value) {
                Ok(object) => listed.read.push(object),
                Err(unreadable) => listed.unreadable.push(unreadable),
            }
        }
        listed
    }

    /// The names of all, with those that cannot be read.
    pub fn names(&self) -> Vec<String> {
        let read = self.read.iter().map(ResourceExt::name_any);
        read.chain(self.unreadable.iter().map(|unreadable| unreadable.name.clone())).collect()
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.read.is_empty() && self.unreadable.is_empty()
    }
}

/// Reads an object.
///
/// # Errors
/// [`Unreadable`]
pub fn read<K>(mut value: Value) -> Result<K, Unreadable>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    // They are not used, and each client chooses their times, which may be beyond what can be represented.
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    serde_path_to_error::deserialize(&value).map_err(|error| {
        let text = |name: &str| value["metadata"][name].as_str().unwrap_or_default().to_owned();
        Unreadable {
            name: text("name"),
            kind: K::kind(&()).into_owned(),
            namespace: text("namespace"),
            path: error.path().to_string(),
            value: value.clone(),
        }
    })
}

#[cfg(test)]
mod tests {
    use latchkey_crds::AuthService;
    use serde_json::json;

    use super::*;

    fn auth_service(name: &str, spec: &Value) -> Value {
        let managed = json!([{"time": "9999-12-31T23:59:59Z"}]);
        let metadata = json!({"name": name, "namespace": "shop", "managedFields": managed});
        json!({"apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": metadata, "spec": spec})
    }

    #[test]
    fn an_unreadable_object_hides_no_other_and_is_named_without_its_values() {
        let values = ["later", "auth"].map(|name| {
            auth_service(name, &if name == "later" { json!({"paused": "hunter2"}) } else { json!({}) })
        });
        let listed = Listed::<AuthService>::of(values.to_vec());
        assert_eq!(listed.read.len(), 1);
        let [later] = &listed.unreadable[..] else { panic!("one is unreadable") };
        let sentence = later.to_string();
        assert!(sentence.starts_with("AuthService shop/later cannot be read"), "{sentence}");
        assert!(sentence.contains("spec.paused") && !sentence.contains("hunter2"), "{sentence}");
        assert_eq!((later.name.as_str(), &later.value["spec"]["paused"]), ("later", &json!("hunter2")));
    }
}

//! The manifest that `check` reads: the AuthService, and the Secrets and ConfigMaps that are applied with it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

/// A manifest.
#[derive(Clone, Default)]
pub struct Manifest {
    /// The AuthServices.
    pub services: Vec<Value>,
    /// The keys of the Secrets and ConfigMaps, by kind and name.
    pub keys: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Manifest {
    /// Reads a manifest of one or more YAML or JSON documents.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |why: String| Failure::Failed(format!("{}: {why}", path.display()));
        let text = if path == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(path)
        };
        Self::parse(&text.map_err(|error| failed(error.to_string()))?).map_err(failed)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut manifest = Self::default();
        for document in serde_yaml_ng::Deserializer::from_str(text) {
            let value = Value::deserialize(document).map_err(|error| format!("it is not YAML: {error}"))?;
            manifest.add(value);
        }
        if manifest.services.is_empty() {
            return Err("it contains no AuthService (apiVersion: latchkey.dev/v1alpha1)".to_owned());
        }
        Ok(manifest)
    }

    fn add(&mut self, value: Value) {
        if let Some(items) = value.get("items").and_then(Value::as_array) {
            items.iter().cloned().for_each(|item| self.add(item));
            return;
        }
        let kind = value["kind"].as_str().unwrap_or_default().to_owned();
        let group = value["apiVersion"].as_str().unwrap_or_default().to_owned();
        let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if kind == "AuthService" && group.starts_with("latchkey.dev/") {
            self.services.push(value);
        } else if ["Secret", "ConfigMap"].contains(&kind.as_str()) {
            let parts = ["data", "stringData", "binaryData"].into_iter();
            let keys = parts.filter_map(|part| value[part].as_object()).flat_map(|part| part.keys().cloned());
            self.keys.insert((kind, name), keys.collect());
        } else if let (Some(target), Some(entries)) =
            (external_target(&value), value["spec"]["data"].as_array())
        {
            // External Secrets creates it.
            let keys = entries.iter().filter_map(|entry| entry["secretKey"].as_str()).map(str::to_owned);
            self.keys.insert(("Secret".to_owned(), target), keys.collect());
        }
    }
}

/// The name of the Secret that an ExternalSecret creates.
fn external_target(value: &Value) -> Option<String> {
    (value["kind"] == "ExternalSecret").then_some(())?;
    let named = value["spec"]["target"]["name"].as_str().or_else(|| value["metadata"]["name"].as_str());
    named.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_has_services_and_the_keys_of_secrets() {
        let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {url: x}\n---\n\
                    apiVersion: latchkey.dev/v1alpha1\nkind: AuthService\nmetadata: {name: auth}\nspec: {}\n---\n\
                    apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: e}\n\
                    spec: {target: {name: redis}, data: [{secretKey: url}]}\n";
        let manifest = Manifest::parse(text).expect("a manifest");
        assert_eq!(manifest.services.len(), 1);
        let url: BTreeSet<String> = ["url".to_owned()].into();
        for name in ["db", "redis"] {
            assert_eq!(manifest.keys.get(&("Secret".to_owned(), name.to_owned())), Some(&url), "{name}");
        }
        assert!(Manifest::parse("kind: Secret").is_err());
        assert!(Manifest::parse("a: [").is_err());
    }
}

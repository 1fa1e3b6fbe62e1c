//! Removes secrets from objects of Kubernetes.

use latchkey_config::variables;
use serde_json::{Map, Value, json};

use super::known::Known;
use super::text::REMOVED;

/// The annotations whose values are kept.
const ANNOTATIONS: [&str; 18] = [
    "latchkey.dev/rotate-keys",
    "latchkey.dev/revoke-keys",
    "latchkey.dev/replace-lost-keys",
    "latchkey.dev/rendered",
    "latchkey.dev/checksum",
    "latchkey.dev/database",
    "latchkey.dev/migrated",
    "latchkey.dev/keys",
    "latchkey.dev/inputs",
    "latchkey.dev/clients",
    "latchkey.dev/rotate-secret",
    "latchkey.dev/revoke-previous-secret",
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/desired-replicas",
    "kubectl.kubernetes.io/restartedAt",
    "meta.helm.sh/release-name",
    "meta.helm.sh/release-namespace",
    "sidecar.istio.io/inject",
];
/// The containers whose commands the operator or its chart writes.
const CONTAINERS: [&str; 5] = ["server", "migrate", "postgres", "valkey", "operator"];
/// Maps whose values are removed.
const MAPS: [&str; 3] = ["volumeAttributes", "binaryData", "stringData"];
/// Lists of names with values, which are removed.
const NAMED_VALUES: [&str; 2] = ["env", "httpHeaders"];

/// The object without secrets.
pub fn object(mut object: Value, known: &Known) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    if let Some(data) = object.get_mut("data").and_then(Value::as_object_mut) {
        for (name, value) in data {
            let is_setting =
                variables::ALL.contains(&name.as_str()) && !variables::SECRETS.contains(&name.as_str());
            let is_file = name.strip_suffix("_FILE").is_some_and(|name| variables::SECRETS.contains(&name));
            if kind != "ConfigMap" || !(is_setting || is_file) {
                *value = json!(REMOVED);
            }
        }
    }
    redact(&mut object, known);
    object
}

fn redact(value: &mut Value, known: &Known) {
    match value {
        Value::String(text) => *text = known.redact(text),
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, known)),
        Value::Object(members) => redact_members(members, known),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn redact_members(members: &mut Map<String, Value>, known: &Known) {
    let is_foreign_container = members.contains_key("image")
        && !members.get("name").and_then(Value::as_str).is_some_and(|name| CONTAINERS.contains(&name));
    for (name, value) in members {
        match (name.as_str(), &mut *value) {
            ("annotations", Value::Object(annotations)) => {
                for (name, value) in annotations {
                    if ANNOTATIONS.contains(&name.as_str()) {
                        redact(value, known);
                    } else {
                        *value = json!(REMOVED);
                    }
                }
            }
            ("command" | "args", value) if is_foreign_container && !value.is_null() => {
                *value = json!([REMOVED]);
            }
            (name, Value::Object(map)) if MAPS.contains(&name) => remove_all(map),
            (name, Value::Array(items)) if NAMED_VALUES.contains(&name) => {
                for item in items {
                    if let Some(value) = item.get_mut("value") {
                        *value = json!(REMOVED);
                    }
                    redact(item, known);
                }
            }
            (_, value) => redact(value, known),
        }
    }
}

fn remove_all(map: &mut Map<String, Value>) {
    map.values_mut().for_each(|value| *value = json!(REMOVED));
}

/// Adds the values of an object that are removed, so that they are removed elsewhere too, such as in a log.
pub fn add_known(value: &Value, known: &mut Known) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| add_known(item, known)),
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), value) {
                    (name, Value::Array(items)) if NAMED_VALUES.contains(&name) => {
                        let values = items.iter().filter_map(|item| item["value"].as_str());
                        values.filter(|value| value.len() >= 8).for_each(|value| known.add_value(value));
                    }
                    _ => add_known(value, known),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_removed_from_every_place_of_an_object() {
        let secret = "s3cr3t-value";
        let object_with_secrets = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "auth", "managedFields": [{"x": secret}],
                "annotations": {"example.com/note": secret, "latchkey.dev/rendered": "abc"},
            },
            "spec": {"template": {"metadata": {"annotations": {"vault": secret}}, "spec": {
                "containers": [
                    {"name": "server", "image": "i", "args": ["serve"], "env": [{"name": "A", "value": secret}]},
                    {"name": "proxy", "image": "i", "command": ["sh", "-c", secret], "livenessProbe": {
                        "httpGet": {"httpHeaders": [{"name": "X", "value": secret}]}}},
                ],
                "volumes": [{"csi": {"volumeAttributes": {"x": secret}}}],
            }}},
            "status": {"conditions": [{"message": "cannot use postgres://u:s3cr3t-value@db"}]},
        });
        let text = object(object_with_secrets, &Known::default()).to_string();
        assert!(!text.contains(secret), "{text}");
        for kept in ["abc", "serve", "auth", "\"A\""] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }

    #[test]
    fn a_config_map_keeps_only_settings_that_are_no_secrets() {
        let map = json!({"kind": "ConfigMap", "metadata": {}, "data": {
            "LOG_LEVEL": "info", "DATABASE_URL": "x1", "DATABASE_URL_FILE": "/etc/x", "other": "y1",
        }});
        let map = object(map, &Known::default());
        assert_eq!(map["data"]["LOG_LEVEL"], "info");
        assert_eq!(map["data"]["DATABASE_URL_FILE"], "/etc/x");
        assert_eq!([&map["data"]["DATABASE_URL"], &map["data"]["other"]], [REMOVED, REMOVED]);
        let secret = json!({"kind": "Secret", "data": {"LOG_LEVEL": "x"}, "stringData": {"a": "b"}});
        let secret = object(secret, &Known::default());
        assert_eq!([&secret["data"]["LOG_LEVEL"], &secret["stringData"]["a"]], [REMOVED, REMOVED]);
    }
}

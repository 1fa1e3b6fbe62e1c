//! The final objects of a plan in a form that is equal for two plans with the same result: without uids, times, versions,
//! generated secrets and random keys.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::history::Objects;
use crate::replicas::{key_set, registry};

/// The normalised objects, by kind and name.
pub type Normal = BTreeMap<String, Value>;

/// Annotations by which a plan triggers reconciles.
pub const TOUCHED: &str = "example.com/touched";

/// Normalises the AuthService, its AuthClients and the objects that they own.
pub fn normalise(namespace: &str, objects: &Objects) -> Normal {
    let mut normal = Normal::new();
    for ((kind, name), object) in objects {
        let owned = |owner: &Value| owner["kind"] == "AuthService" || owner["kind"] == "AuthClient";
        let owners = object["metadata"]["ownerReferences"].as_array();
        if kind != "AuthService"
            && kind != "AuthClient"
            && !owners.is_some_and(|owners| owners.iter().any(owned))
            && !is_claim(kind)
        {
            continue;
        }
        let mut object = Value::clone(object);
        strip(kind, &mut object);
        let masked = mask_all(&object, namespace);
        normal.insert(format!("{kind}/{}", mask(name, namespace)), masked);
    }
    normal
}

/// Claims of a StatefulSet are owned by it, if at all.
fn is_claim(kind: &str) -> bool {
    kind == "PersistentVolumeClaim"
}

/// The differences, at most five.
pub fn differences(expected: &Normal, found: &Normal) -> Vec<String> {
    let mut all = Vec::new();
    for (name, object) in expected {
        match found.get(name) {
            Some(found) => compare(name, object, found, &mut all),
            None => all.push(format!("{name} is missing")),
        }
    }
    all.extend(
        found.keys().filter(|name| !expected.contains_key(*name)).map(|name| format!("{name} is too much")),
    );
    all.truncate(5);
    all
}

fn compare(path: &str, expected: &Value, found: &Value, all: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let names: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
            for name in names {
                let part = |object: &Map<String, Value>| object.get(name).cloned().unwrap_or(Value::Null);
                compare(&format!("{path}/{name}"), &part(expected), &part(found), all);
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (number, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(&format!("{path}/{number}"), expected, found, all);
            }
        }
        _ if expected == found => {}
        _ => all.push(format!("{path} is {found}, not {expected}")),
    }
}

fn strip(kind: &str, object: &mut Value) {
    let metadata = object["metadata"].clone();
    let mut kept = Map::new();
    for name in ["labels", "annotations", "finalizers"] {
        if let Some(part) = metadata.get(name) {
            kept.insert(name.to_owned(), part.clone());
        }
    }
    if let Some(annotations) = kept.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(TOUCHED);
        if let Some(time) = annotations.get_mut("latchkey.dev/rotated-at") {
            *time = json!("a time");
        }
    }
    let empty = |part: &Value| part.as_object().is_some_and(Map::is_empty);
    kept.retain(|_, part| !empty(part));
    let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
    let owners: Vec<Value> = owners
        .map(|owner| json!([owner["kind"], owner["name"], owner["controller"], owner["blockOwnerDeletion"]]))
        .collect();
    kept.insert("owners".to_owned(), json!(owners));
    kept.insert("deleting".to_owned(), json!(metadata.get("deletionTimestamp").is_some()));
    // A generated Secret is created with POST, and applied only if it is changed or repaired.
    let managed = if kind == "Secret" { Value::Null } else { managed(&metadata) };
    kept.insert("managed".to_owned(), managed);
    object["metadata"] = Value::Object(kept);
    match kind {
        "AuthService" => strip_status(object, &metadata["generation"]),
        "AuthClient" => strip_client_status(object, &metadata["generation"]),
        "Secret" => strip_secret(object),
        "ConfigMap" => strip_public_keys(object),
        "Service" => {
            for name in ["clusterIP", "clusterIPs"] {
                if object["spec"][name] != json!("None") && object["spec"][name] != json!(["None"]) {
                    object["spec"][name] = Value::Null;
                }
            }
        }
        _ => {}
    }
    if kind != "AuthService"
        && kind != "AuthClient"
        && let Some(members) = object.as_object_mut()
    {
        members.remove("status");
    }
}

/// Of the public keys, which are random, their algorithms stay.
fn strip_public_keys(object: &mut Value) {
    let Some(text) = object["data"].get_mut("jwks.json") else { return };
    let set: Value = text.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let keys = set["keys"].as_array().into_iter().flatten();
    *text = keys.map(|key| key["alg"].clone()).collect();
}

/// The fields that the operator applies.
fn managed(metadata: &Value) -> Value {
    let entries = metadata["managedFields"].as_array().into_iter().flatten();
    let own = entries.filter(|entry| {
        entry["operation"] == "Apply"
            && entry["manager"].as_str().is_some_and(|name| name.starts_with("latchkey"))
    });
    own.map(|entry| json!([entry["manager"], entry["subresource"], entry["fieldsV1"]])).collect()
}

/// The conditions by type.
fn conditions(status: &Value, generation: &Value) -> BTreeMap<String, Value> {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions
        .map(|found| {
            let current = found["observedGeneration"] == *generation;
            (
                found["type"].as_str().unwrap_or_default().to_owned(),
                json!([found["status"], found["reason"], current]),
            )
        })
        .collect()
}

fn strip_client_status(object: &mut Value, generation: &Value) {
    let status = &object["status"];
    object["status"] = json!({
        "conditions": conditions(status, generation), "clientId": status["clientId"],
        "secretName": status["secretName"], "rotated": status["secretRotatedAt"].is_string(),
        "current": status["observedGeneration"] == *generation,
    });
}

fn strip_status(object: &mut Value, generation: &Value) {
    let status = &object["status"];
    let conditions = conditions(status, generation);
    let keys: Vec<&Value> =
        status["signingKeys"].as_array().into_iter().flatten().map(|key| &key["phase"]).collect();
    object["status"] = json!({
        "conditions": conditions, "keys": keys, "replicas": status["replicas"],
        "readyReplicas": status["readyReplicas"], "version": status["version"],
        "keyRequests": status["keyRequests"], "current": status["observedGeneration"] == *generation,
    });
}

fn strip_secret(object: &mut Value) {
    let set = key_set(object).map(|set| {
        let keys = set["keys"].as_array().into_iter().flatten();
        let keys: Vec<Value> = keys.map(|key| json!([key["alg"], key["latchkey_phase"]])).collect();
        json!({"keys": keys, "handled": set["latchkey_notes"]["handled"]})
    });
    // A fault may cost a secret that was prepared and is no longer needed; it has an end.
    let clients = registry(object).map(|registry| {
        let clients = registry.into_clients().into_iter().map(|mut client| {
            let credentials = std::mem::take(&mut client.credentials);
            let without_end = credentials.iter().filter(|known| known.expires_at.is_none()).count();
            json!([client, without_end])
        });
        clients.collect::<Value>()
    });
    let generated = object["data"].get("salt").is_some() || object["data"].get("password").is_some();
    let Some(data) = object["data"].as_object_mut() else { return };
    for (name, value) in data {
        let text = value.as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        *value = match (name.as_str(), &set) {
            ("keys.json", Some(set)) => set.clone(),
            ("clients.json.gz", _) => clients.clone().unwrap_or_else(|| json!("damaged")),
            ("client-secret", _) => json!("generated"),
            // Random, or with a random part.
            ("salt" | "password" | "url" | "valkey.conf", _) if generated => json!("generated"),
            _ => json!(text),
        };
    }
}

fn mask_all(value: &Value, namespace: &str) -> Value {
    match value {
        Value::String(text) => Value::String(mask(text, namespace)),
        Value::Array(elements) => elements.iter().map(|element| mask_all(element, namespace)).collect(),
        Value::Object(members) => {
            let masked = members
                .iter()
                .filter(|(_, member)| !member.is_null())
                .map(|(name, member)| (mask(name, namespace), mask_all(member, namespace)));
            Value::Object(masked.collect())
        }
        other => other.clone(),
    }
}

/// Without the namespace, and without uids and hashes: words of hexadecimal digits.
fn mask(text: &str, namespace: &str) -> String {
    let text = without_uids(&text.replace(namespace, "NAMESPACE"));
    let mut masked = String::new();
    let mut word = String::new();
    for character in text.chars().chain([' ']) {
        if character.is_ascii_alphanumeric() || (character == '-' && is_hash(word.trim_end_matches('-'), 4)) {
            word.push(character);
            continue;
        }
        masked.push_str(&mask_word(&word));
        word.clear();
        masked.push(character);
    }
    masked.pop();
    masked
}

/// Without uids. They are recognized by their form, because a part of one may be a word without a digit.
fn without_uids(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let uid =
            rest.get(..uuid::fmt::Hyphenated::LENGTH).filter(|word| uuid::Uuid::try_parse(word).is_ok());
        if let Some(uid) = uid {
            masked.push_str("HASH");
            rest = &rest[uid.len()..];
        } else {
            masked.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    masked
}

fn mask_word(word: &str) -> String {
    if is_hash(word, 8) { "HASH".to_owned() } else { word.to_owned() }
}

fn is_hash(word: &str, shortest: usize) -> bool {
    word.len() >= shortest
        && word.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        && word.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_and_hashes_are_masked() {
        for (text, expected) in [
            ("auth-migrate-0a1b2c3d4e5f", "auth-migrate-HASH"),
            (r#"k:{"uid":"0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"}"#, r#"k:{"uid":"HASH"}"#),
            (r#"k:{"uid":"dbedbecd-4e5f-6071-8293-a4b5c6d7e8f9"}"#, r#"k:{"uid":"HASH"}"#),
            ("http://auth.plan-7.svc", "http://auth.NAMESPACE.svc"),
            ("replicas", "replicas"),
        ] {
            assert_eq!(mask(text, "plan-7"), expected);
        }
    }

    #[test]
    fn a_difference_is_named() {
        let normal = |value: Value| Normal::from([("Service/a".to_owned(), value)]);
        let found = differences(&normal(json!({"a": [1, {"b": 2}]})), &normal(json!({"a": [1, {"b": 3}]})));
        assert_eq!(found, ["Service/a/a/1/b is 3, not 2"]);
        assert_eq!(differences(&normal(json!(1)), &Normal::new()), ["Service/a is missing"]);
        assert_eq!(differences(&Normal::new(), &normal(json!(1))), ["Service/a is too much"]);
    }
}

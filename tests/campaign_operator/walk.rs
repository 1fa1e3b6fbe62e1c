//! Walks through the schema of the CRD: each step sets one field to a value of its schema, to a bound, or beyond it, or
//! removes a part of the spec. What the API server refuses is left out, as after an error of `kubectl apply`.

use latchkey_tests::control_plane::auth_service_crd;
use serde_json::{Map, Value, json};

use crate::random::Random;
use crate::scenario::usual;

/// The number of steps of a walk.
const STEPS: usize = 8;
/// Parts in which the past counts: a new algorithm rotates the keys, an autoscaler continues from the number of replicas
/// that it finds, and accounts are not moved between databases. Other scenarios change them.
const WITHOUT: [&str; 6] =
    ["/tokens/algorithm", "/tokens/keyRotation", "/autoscaling", "/database", "/redis", "/paused"];

/// The schema of the spec.
fn schema() -> Value {
    let text = std::fs::read_to_string(auth_service_crd()).expect("the CRD");
    let mut crd: Value = serde_yaml_ng::from_str(&text).expect("YAML");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].take()
}

/// The specs of a walk, in order. The API server may refuse some.
pub fn specs(seed: u64) -> Vec<Value> {
    let mut random = Random::new(seed);
    let mut fields = Vec::new();
    collect(&schema(), "", &mut fields);
    fields.retain(|(path, _)| !WITHOUT.iter().any(|without| path.starts_with(without)));
    let mut spec = usual();
    let mut specs = Vec::new();
    for _ in 0..STEPS {
        if random.happens(20) {
            remove(&mut spec, &mut random);
        } else {
            let (path, schema) = random.pick(&fields).clone();
            let value = value(&schema, &path, &mut random);
            set(&mut spec, &path, value);
        }
        specs.push(spec.clone());
        // A refused step does not spoil the next ones.
        if random.happens(50) {
            spec = usual();
        }
    }
    specs
}

/// The spec with which the walk ends, which the operator can serve.
pub fn end(seed: u64) -> Value {
    let mut random = Random::new(seed).derive(1);
    let mut spec = usual();
    let parts = [
        json!({"replicas": 1}),
        json!({"logging": {"level": "debug"}}),
        json!({"image": {"repository": "example.com/server", "tag": "1.0.0"}}),
        json!({"exposure": {"ingress": {"host": "auth.example.com"}}}),
        json!({"exposure": {"gateway": {"parentRefs": [{"name": "public"}], "hostnames": ["auth.example.com"]}}}),
        json!({"networkPolicy": {"enabled": true, "allowFrom": [{"namespaceSelector": {}}]}}),
        json!({"email": {"enabled": false}}),
        json!({"pod": {"nodeSelector": {"disk": "ssd"}}}),
        json!({"trustedProxies": ["10.0.0.0/8"]}),
    ];
    for part in parts {
        if random.happens(35)
            && let (Some(spec), Value::Object(part)) = (spec.as_object_mut(), part)
        {
            spec.extend(part);
        }
    }
    spec
}

/// Every field below an object, with its schema.
fn collect(schema: &Value, path: &str, fields: &mut Vec<(String, Value)>) {
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        collect(part, &path, fields);
        if !part["properties"].is_object() {
            fields.push((path, part.clone()));
        }
    }
}

fn value(schema: &Value, path: &str, random: &mut Random) -> Value {
    if let Some(values) = schema["enum"].as_array() {
        return random.pick(values).clone();
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return random.pick(&[json!("1"), json!("250m"), json!("64Mi"), json!(2)]).clone();
    }
    match schema["type"].as_str() {
        Some("boolean") => json!(random.happens(50)),
        Some("integer" | "number") => {
            let bound = |name: &str, without: i64| {
                schema[name]
                    .as_f64()
                    .map_or(without, |bound| format!("{bound:.0}").parse().unwrap_or(without))
            };
            let (least, most) = (bound("minimum", 0), bound("maximum", 100));
            json!(*random.pick(&[least, most, least.saturating_add(1), least - 1, most.saturating_add(1)]))
        }
        Some("array") => {
            let elements = 1 + random.below(2);
            (0..elements).map(|_| value(&schema["items"], path, random)).collect()
        }
        Some("object") => {
            let mut members = Map::new();
            if schema["properties"].is_object() {
                let required = schema["required"].as_array().cloned().unwrap_or_default();
                for (name, part) in schema["properties"].as_object().into_iter().flatten() {
                    if required.contains(&json!(name)) || random.happens(30) {
                        let path = format!("{path}/{name}");
                        members.insert(name.clone(), value(part, &path, random));
                    }
                }
            } else {
                members
                    .insert("example.com/a".to_owned(), value(&schema["additionalProperties"], path, random));
            }
            Value::Object(members)
        }
        _ => json!(*random.pick(texts(path))),
    }
}

/// Values for a field of text; most of them are valid.
fn texts(path: &str) -> &'static [&'static str] {
    match path.rsplit('/').next().unwrap_or_default() {
        "issuer" | "publicURL" => &["https://auth.example.com", "http://[2001:db8::1]:8443/a/", "x"],
        "accessTokenTTL" => &["1m", "15m", "168h", "1s"],
        "refreshTokenTTL" => &["168h", "720h", "1m"],
        "interval" | "deadline" => &["30s", "15m", "168h", "0s"],
        "host" | "hostnames" => &["auth.example.com", "a-1.b-2.example", "-"],
        "tag" => &["1.2.3", "v1_2-3", ":"],
        "repository" => &["localhost:5000/a/b", "ghcr.io/x"],
        "digest" => &["sha256:0123456789012345678901234567890123456789012345678901234567890123", "sha256:0"],
        "egressNetworks" | "trustedProxies" => &["10.0.0.0/8", "2001:db8::/32", "nowhere"],
        "corsAllowedOrigins" => &["https://app.example.com", "http://localhost:3000"],
        "otlpEndpoint" => &["http://collector:4317", "x"],
        "defaultLocale" => &["en", "pt-BR"],
        "name" | "secretName" => &["smtp", "missing"],
        "operator" => &["Exists", "Equal", "In"],
        "effect" => &["NoSchedule", "NoExecute"],
        _ => &["a", "x-1", "example.com", ""],
    }
}

fn set(spec: &mut Value, path: &str, value: Value) {
    let mut place = spec;
    for part in path.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[part];
    }
    *place = value;
}

/// Removes a part of the spec, at any depth.
fn remove(spec: &mut Value, random: &mut Random) {
    let Some(members) = spec.as_object_mut().filter(|members| !members.is_empty()) else { return };
    let names: Vec<String> =
        members.keys().filter(|name| !WITHOUT.contains(&format!("/{name}").as_str())).cloned().collect();
    if names.is_empty() {
        return;
    }
    let name = random.pick(&names).clone();
    if members[&name].is_object() && random.happens(50) {
        remove(&mut members[&name], random);
    } else {
        members.remove(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_set_and_removed() {
        let mut spec = json!({"a": {"b": 1}, "paused": true});
        set(&mut spec, "/a/c/d", json!(2));
        assert_eq!(spec, json!({"a": {"b": 1, "c": {"d": 2}}, "paused": true}));
        let mut random = Random::new(1);
        for _ in 0..9 {
            remove(&mut spec, &mut random);
        }
        assert_eq!(spec, json!({"paused": true}));
    }

    #[test]
    fn a_walk_is_repeated_by_its_seed_and_differs_from_others() {
        assert_eq!(specs(1), specs(1));
        assert_ne!(specs(1), specs(2));
        assert_eq!(specs(1).len(), STEPS);
    }
}

//! Every field at its bounds and beyond them; every part absent, empty and null.

use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::auth_service_crd;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

fn spec_schema() -> Value {
    let text = std::fs::read_to_string(auth_service_crd()).expect("the CRD");
    let crd: Value = serde_yaml_ng::from_str(&text).expect("YAML");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// Visits each part of a schema with its path; `0` stands for a list element, `key` for a map value.
fn walk(schema: &Value, path: &mut Vec<String>, found: &mut impl FnMut(&[String], &Value)) {
    found(path, schema);
    let properties = schema["properties"].as_object().into_iter().flatten();
    let parts = properties.map(|(name, part)| (name.as_str(), part));
    let items = schema.get("items").map(|part| ("0", part));
    let values = schema.get("additionalProperties").filter(|part| part.is_object()).map(|part| ("key", part));
    for (name, part) in parts.chain(items).chain(values) {
        path.push(name.to_owned());
        walk(part, path, found);
        path.pop();
    }
}

/// A spec with only this value, and the fields that its ancestors require.
fn with(schema: &Value, path: &[String], value: Value) -> Value {
    let Some((name, rest)) = path.split_first() else { return value };
    if schema["type"] == "array" {
        return json!([with(&schema["items"], rest, value)]);
    }
    let part = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
    let mut object = least(schema);
    object[name] = with(part, rest, value);
    object
}

/// The smallest valid value of a schema.
fn least(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            required.map(|name| (name.to_owned(), least(&schema["properties"][name]))).collect()
        }
        Some("array") => Value::Array(vec![least(&schema["items"]); length(schema, "minItems").unwrap_or(0)]),
        Some("string") => json!("a".repeat(length(schema, "minLength").unwrap_or(0))),
        Some("boolean") => json!(false),
        _ => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
    }
}

fn length(schema: &Value, bound: &str) -> Option<usize> {
    usize::try_from(schema[bound].as_u64()?).ok()
}

/// Values beyond each bound of a schema, with words of the API server's message.
fn beyond(schema: &Value) -> Vec<(Value, &'static str)> {
    let mut values = Vec::new();
    let text = |length: usize| json!("a".repeat(length));
    if let Some(most) = length(schema, "maxLength") {
        values.push((text(most + 1), "ay not be more than"));
    }
    if let Some(fewest) = length(schema, "minLength").filter(|fewest| *fewest > 0) {
        values.push((text(fewest - 1), "should be at least"));
    }
    if let Some(most) = length(schema, "maxItems") {
        values.push((Value::Array(vec![least(&schema["items"]); most + 1]), "must have at most"));
    }
    if let Some(most) = length(schema, "maxProperties") {
        let value = least(&schema["additionalProperties"]);
        let map = (0..=most).map(|number| (format!("k{number}"), value.clone())).collect();
        values.push((Value::Object(map), "must have at most"));
    }
    if let Some(most) = schema["maximum"].as_f64() {
        values.push((json!(most + 1.0), "should be less than or equal to"));
    }
    if let Some(least) = schema["minimum"].as_f64() {
        values.push((json!(least - 1.0), "should be greater than or equal to"));
    }
    values
}

/// The fields with types of the Kubernetes API.
const KUBERNETES_TYPES: [&str; 3] = ["pod", "extraEgress", "extraIngress"];

#[test]
fn every_list_map_string_and_number_of_the_spec_is_bounded() {
    let mut unbounded = Vec::new();
    walk(&spec_schema(), &mut Vec::new(), &mut |path, schema| {
        let bound = match schema["type"].as_str() {
            Some("array") => "maxItems",
            Some("string") if schema.get("enum").is_none() => "maxLength",
            Some("object") if schema.get("additionalProperties").is_some() => "maxProperties",
            // The API server validates the numbers of Kubernetes types.
            Some("integer") if !path.iter().any(|part| KUBERNETES_TYPES.contains(&part.as_str())) => {
                "maximum"
            }
            _ => return,
        };
        if schema.get(bound).is_none() {
            unbounded.push(path.join("."));
        }
    });
    assert!(unbounded.is_empty(), "{unbounded:#?}");
}

#[tokio::test]
async fn a_value_beyond_its_bound_is_refused_with_the_name_of_its_field() {
    let fixture = Fixture::new("bounds").await;
    let schema = spec_schema();
    let mut tries = Vec::new();
    walk(&schema, &mut Vec::new(), &mut |path, part| {
        // Kubernetes types have the same default bounds everywhere; a few levels are sufficient.
        if path.len() <= 6 {
            tries.extend(
                beyond(part)
                    .into_iter()
                    .map(|(value, words)| (path.to_vec(), with(&schema, path, value), words)),
            );
        }
    });
    assert!(tries.len() > 150, "{}", tries.len());
    let api = fixture.api::<AuthService>();
    for (path, spec, words) in tries {
        let object = json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": NAME}, "spec": spec,
        });
        let parameters = PatchParams::apply("tests").dry_run();
        let refused = api.patch(NAME, &parameters, &Patch::Apply(object)).await;
        let error = refused.err().unwrap_or_else(|| panic!("{} was accepted", path.join("."))).to_string();
        let field = path.iter().rfind(|name| !["0", "key"].contains(&name.as_str())).expect("a name");
        assert!(
            error.contains(field.as_str()) && error.contains(words),
            "{}: {words}: {error}",
            path.join(".")
        );
    }
}

/// The operator handles every accepted value.
#[tokio::test]
async fn every_field_may_be_absent_empty_or_null() {
    let fixture = Fixture::new("empty").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    let schema = spec_schema();
    // The Rust type cannot represent null everywhere.
    let resource = ApiResource::erase::<AuthService>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(fixture.client.clone(), &fixture.namespace, &resource);
    let mut accepted = 0;
    for (name, part) in schema["properties"].as_object().expect("properties") {
        let empty = match part["type"].as_str() {
            Some("object") => json!({}),
            Some("array") => json!([]),
            Some("string") => json!(""),
            Some("boolean") => json!(false),
            _ => json!(0),
        };
        for value in [Value::Null, empty] {
            let object = json!({
                "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": NAME},
                "spec": {name: value},
            });
            let object: DynamicObject = serde_json::from_value(object).expect("an object");
            match api.create(&PostParams::default(), &object).await {
                Ok(_) => accepted += 1,
                Err(kube::Error::Api(status)) if status.code == 422 => continue,
                Err(error) => panic!("{name}: {error}"),
            }
            fixture.wait_for_condition("SecretsResolved", "True").await;
            api.delete(NAME, &DeleteParams::background()).await.expect("it is deleted");
            wait_for(fixture.api::<AuthService>(), NAME, |object| {
                object.is_none().then_some(()).ok_or_else(|| "still there".to_owned())
            })
            .await;
        }
    }
    assert!(accepted > 20, "{accepted}");
    assert!(!operator.log().contains("panicked"), "{}", operator.log());
}

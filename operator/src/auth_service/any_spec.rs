//! Every spec that the API server accepts is either rendered or refused with a problem; nothing panics.

use k8s_openapi::jiff::Timestamp;
use latchkey_crds::AuthServiceSpec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixtures::{auth_service, external_state, full, full_spec, installation};
use super::render::render;
use super::validate::{validate, validate_tokens};
use crate::cluster::cache::Presence;

/// The paths of all values in a document.
fn paths(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    found.push(path.clone());
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(elements) => {
            elements.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (name, value) in members {
        path.push(name);
        paths(value, path, found);
        path.pop();
    }
}

fn any_damage() -> impl Strategy<Value = (Vec<String>, Value)> {
    let mut found = Vec::new();
    paths(&full_spec(), &mut Vec::new(), &mut found);
    let values = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!(false)),
        ".{0,300}".prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
    ];
    (proptest::sample::select(found), values)
}

proptest! {
    #[test]
    fn a_damaged_spec_is_rendered_or_refused(damages in proptest::collection::vec(any_damage(), 1..4)) {
        let mut spec = full_spec();
        for (path, value) in damages {
            let escaped: Vec<String> = path.iter().map(|name| name.replace('/', "~1")).collect();
            let pointer = if escaped.is_empty() { String::new() } else { format!("/{}", escaped.join("/")) };
            if let Some(found) = spec.pointer_mut(&pointer) {
                *found = value;
            }
        }
        // The API server refuses values of the wrong type because of the schema.
        if serde_json::from_value::<AuthServiceSpec>(spec.clone()).is_err() {
            return Ok(());
        }
        let state = external_state(Presence::Present);
        let auth_service = auth_service(spec);
        let tokens = validate_tokens(&auth_service.spec.tokens);
        let service = validate(&auth_service, tokens, full(), &state, &installation()).unwrap();
        render(&service, &state, Timestamp::UNIX_EPOCH).unwrap();
    }
}

//! Whether a live object matches the rendered object. Pure.
//!
//! The API server adds defaults and a status, and normalizes values. Only rendered fields are compared, and they are
//! compared with the API server's response to the last apply, if it is known.

use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::{Map, Value, json};

use crate::auth_service::render::Rendered;
use crate::cluster::kinds::Kind;
use crate::fingerprint::{Fingerprint, short_fingerprint};
use crate::names::RENDERED_ANNOTATION;

/// Whether the object has the hash of the current rendering.
pub(super) fn has_hash(rendered: &Rendered, live: &DynamicObject) -> bool {
    live.annotations().get(RENDERED_ANNOTATION) == Some(&rendered.hash)
}

/// Whether the object must be applied. `applied_fingerprint` is the result of [`fingerprint_of`] for the API server's
/// response to the last apply.
pub(super) fn differs(
    rendered: &Rendered,
    live: &DynamicObject,
    applied_fingerprint: Option<Fingerprint>,
) -> bool {
    if let Some(expected) = applied_fingerprint {
        // Also without the hash, which admission may have removed.
        return fingerprint_of(rendered, live) != expected;
    }
    if !has_hash(rendered, live) {
        return true;
    }
    normalise(rendered, &serde_json::to_value(live).unwrap_or_default())
        != normalise(rendered, &rendered.value)
}

/// The fingerprint of the API server's form of the rendered fields. JSON objects are sorted, so that equal content
/// has an equal fingerprint.
pub(super) fn fingerprint_of(rendered: &Rendered, object: &DynamicObject) -> Fingerprint {
    let object = serde_json::to_value(object).unwrap_or_default();
    short_fingerprint(normalise(rendered, &object).to_string().as_bytes())
}

/// The API server's form of the rendered fields, and the complete value of fields that are replaced as a whole.
fn normalise(rendered: &Rendered, object: &Value) -> Value {
    let whole: Vec<Value> = atomic(rendered.kind)
        .iter()
        .map(|pointer| object.pointer(pointer).map_or(Value::Null, filled))
        .collect();
    json!([project(&content(&rendered.value), object), whole])
}

/// The parts (JSON pointers) that server-side apply replaces as a whole, and in which an additional member changes
/// the meaning: a selector with an additional label selects nothing, and a NetworkPolicy peer with an additional
/// empty `namespaceSelector` admits the pods of every namespace.
pub(super) fn atomic(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::NetworkPolicy => &["/spec"],
        Kind::Service => &["/spec/selector"],
        _ => &[],
    }
}

/// A value without its empty lists, which the API server omits. Empty objects are kept: an empty selector selects
/// everything.
pub(super) fn filled(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let there = members.iter().filter(|(_, member)| match member {
                Value::Null => false,
                Value::Array(elements) => !elements.is_empty(),
                _ => true,
            });
            Value::Object(there.map(|(key, member)| (key.clone(), filled(member))).collect())
        }
        Value::Array(elements) => Value::Array(elements.iter().map(filled).collect()),
        other => other.clone(),
    }
}

/// Without version and kind, which the API server leaves out of the objects in a list.
pub(super) fn content(rendered: &Value) -> Value {
    let mut content = rendered.clone();
    if let Some(members) = content.as_object_mut() {
        members.remove("apiVersion");
        members.remove("kind");
    }
    content
}

/// The part of `actual` that `shape` describes. Empty values in `shape` are left out, because the API server may drop
/// or add them. List elements with a name are matched by name.
fn project(shape: &Value, actual: &Value) -> Value {
    match (shape, actual) {
        (Value::Object(shape), Value::Object(actual)) => Value::Object(
            shape
                .iter()
                .filter(|(_, wanted)| !is_empty(wanted))
                .map(|(key, wanted)| (key.clone(), project(wanted, actual.get(key).unwrap_or(&Value::Null))))
                .collect::<Map<_, _>>(),
        ),
        (Value::Array(shape), Value::Array(actual)) => match identity(shape) {
            Some(key) => Value::Array(
                shape
                    .iter()
                    .map(|wanted| {
                        let found = actual.iter().find(|element| element.get(key) == wanted.get(key));
                        project(wanted, found.unwrap_or(&Value::Null))
                    })
                    .collect(),
            ),
            None if shape.len() == actual.len() => Value::Array(
                shape.iter().zip(actual).map(|(wanted, element)| project(wanted, element)).collect(),
            ),
            None => Value::Array(actual.clone()),
        },
        _ => actual.clone(),
    }
}

/// The member that identifies the elements of a list in server-side apply.
pub(super) fn identity(elements: &[Value]) -> Option<&'static str> {
    let identifies = |key: &str| {
        let names: Vec<&str> = elements.iter().filter_map(|element| element.get(key)?.as_str()).collect();
        let distinct = names.iter().enumerate().all(|(index, name)| !names[..index].contains(name));
        names.len() == elements.len() && distinct
    };
    ["mountPath", "name", "uid", "topologyKey"]
        .into_iter()
        .find(|key| identifies(key))
        .filter(|_| !elements.is_empty())
}

pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.values().all(is_empty),
        Value::Array(elements) => elements.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same(shape: &Value, actual: &Value) -> bool {
        project(shape, actual) == project(shape, shape)
    }

    #[test]
    fn defaults_of_the_api_server_are_no_difference() {
        let shape = json!({"spec": {"ports": [{"name": "http", "port": 80}], "selector": {"a": "b"}, "resources": {}}});
        let actual = json!({"spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}], "selector": {"a": "b"}, "clusterIP": "1.2.3.4"}, "status": {}});
        assert!(same(&shape, &actual));
    }

    #[test]
    fn a_changed_or_removed_field_is_a_difference() {
        let shape = json!({"spec": {"ports": [{"name": "http", "port": 80}], "args": ["serve"]}});
        for actual in [
            json!({"spec": {"ports": [{"name": "http", "port": 81}], "args": ["serve"]}}),
            json!({"spec": {"ports": [], "args": ["serve"]}}),
            json!({"spec": {"args": ["serve"]}}),
            json!({"spec": {"ports": [{"name": "http", "port": 80}], "args": ["serve", "more"]}}),
            json!({}),
        ] {
            assert!(!same(&shape, &actual), "{actual}");
        }
    }

    #[test]
    fn named_elements_of_other_writers_are_no_difference() {
        let shape = json!([{"name": "a", "value": "1"}]);
        assert!(same(&shape, &json!([{"name": "theirs"}, {"name": "a", "value": "1"}])));
    }

    #[test]
    fn an_object_of_a_list_has_neither_version_nor_kind() {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "annotations": {RENDERED_ANNOTATION: "1"}}, "data": {"a": "b"},
        });
        let rendered = Rendered {
            kind: Kind::ConfigMap,
            name: "a".to_owned(),
            hash: "1".to_owned(),
            value: object.clone(),
            adopts: false,
            based_on: None,
        };
        let whole: DynamicObject = serde_json::from_value(object).unwrap();
        let listed = DynamicObject { types: None, ..whole.clone() };
        let remembered = fingerprint_of(&rendered, &whole);
        for live in [&whole, &listed] {
            assert!(!differs(&rendered, live, None));
            assert!(!differs(&rendered, live, Some(remembered)));
        }
    }

    #[test]
    fn atomic_fields_are_compared_as_a_whole() {
        let rendered = |kind, value: &Value| Rendered {
            kind,
            name: "a".to_owned(),
            hash: "1".to_owned(),
            value: value.clone(),
            adopts: false,
            based_on: None,
        };
        let with_spec = |spec: &Value| {
            json!({
                "metadata": {"name": "a", "annotations": {RENDERED_ANNOTATION: "1"}}, "spec": spec,
            })
        };
        let policy =
            json!({"podSelector": {"matchLabels": {"a": "b"}}, "ingress": [{"from": [{"podSelector": {}}]}]});
        let service = json!({"selector": {"a": "b"}});
        let changes = [
            (Kind::NetworkPolicy, &policy, "/podSelector/matchLabels", json!({"a": "b", "c": "d"})),
            (Kind::NetworkPolicy, &policy, "/ingress/0/from/0", json!({"namespaceSelector": {}})),
            (
                Kind::NetworkPolicy,
                &policy,
                "/ingress/0/from/0",
                json!({"podSelector": {}, "namespaceSelector": {}}),
            ),
            (Kind::Service, &service, "/selector", json!({"a": "b", "c": "d"})),
        ];
        for (kind, spec, pointer, change) in changes {
            let rendered = rendered(kind, &with_spec(spec));
            let mut edited = spec.clone();
            *edited.pointer_mut(pointer).unwrap() = change;
            let as_object = |spec: &Value| serde_json::from_value::<DynamicObject>(with_spec(spec)).unwrap();
            let applied_fingerprint = fingerprint_of(&rendered, &as_object(spec));
            for applied_fingerprint in [None, Some(applied_fingerprint)] {
                assert!(!differs(&rendered, &as_object(spec), applied_fingerprint), "{kind}");
                assert!(differs(&rendered, &as_object(&edited), applied_fingerprint), "{kind} {edited}");
            }
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-d]|name", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn an_object_does_not_differ_from_itself(value in any_value()) {
            prop_assert!(same(&value, &value));
        }

        #[test]
        fn a_projection_is_idempotent(shape in any_value(), actual in any_value()) {
            let once = project(&shape, &actual);
            prop_assert_eq!(project(&shape, &once), once);
        }
    }
}

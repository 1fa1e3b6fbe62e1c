//! The single fields in which a live object differs from the rendered one. Pure.

use kube::core::DynamicObject;
use serde_json::{Map, Value};

use super::difference::{atomic, content, filled, identity, is_empty};
use super::quantity::is_same_quantity;
use crate::auth_service::render::Rendered;
use crate::cluster::kinds::Kind;

/// A field with another value than the rendered one, or an addition where none is allowed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    /// The place, such as `/spec/template/spec/containers/server/image`; list elements are named.
    pub(super) path: String,
    /// The rendered value; null for an addition.
    pub(super) wanted: Value,
    /// The live value; null if the field is missing.
    pub(super) found: Value,
}

/// The rendered fields that have another value in the live object. Additions are no difference, except in parts that
/// are compared as a whole.
pub(super) fn changed_fields(rendered: &Rendered, live: &DynamicObject) -> Vec<Change> {
    let mut changes = Vec::new();
    replace_where(rendered, live, |change| {
        changes.push(change.clone());
        false
    });
    changes
}

/// The rendered value in which each changed field that `keeps` accepts has its live value.
pub(super) fn replace_where(
    rendered: &Rendered,
    live: &DynamicObject,
    mut keeps: impl FnMut(&Change) -> bool,
) -> Value {
    // A value parsed from JSON can be serialized as JSON.
    let live = serde_json::to_value(live).unwrap_or_default();
    let mut visit = |change: Change| if keeps(&change) { change.found } else { change.wanted };
    let mut value = walk(&content(&rendered.value), &live, String::new(), rendered.kind, &mut visit);
    for types in ["apiVersion", "kind"] {
        value[types] = rendered.value[types].clone();
    }
    value
}

/// Whether a field cannot be changed after the creation of the object.
pub(super) fn is_immutable(kind: Kind, path: &str) -> bool {
    kind == Kind::Job && path.starts_with("/spec/template")
}

fn walk(
    wanted: &Value,
    found: &Value,
    path: String,
    kind: Kind,
    visit: &mut dyn FnMut(Change) -> Value,
) -> Value {
    let change = |path: String| Change { path, wanted: wanted.clone(), found: found.clone() };
    if atomic(kind).contains(&path.as_str()) {
        return if filled(wanted) == filled(found) { wanted.clone() } else { visit(change(path)) };
    }
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            let members = wanted.iter().filter_map(|(key, wanted)| {
                if is_empty(wanted) {
                    return Some((key.clone(), wanted.clone()));
                }
                let found = found.get(key).unwrap_or(&Value::Null);
                let value = walk(wanted, found, format!("{path}/{key}"), kind, visit);
                (!value.is_null()).then(|| (key.clone(), value))
            });
            Value::Object(members.collect::<Map<_, _>>())
        }
        (Value::Array(elements), Value::Array(there)) => match identity(elements) {
            Some(key) => {
                let elements = elements.iter().filter_map(|wanted| {
                    let found = there.iter().find(|element| element.get(key) == wanted.get(key));
                    let name = wanted[key].as_str().unwrap_or_default();
                    let value =
                        walk(wanted, found.unwrap_or(&Value::Null), format!("{path}/{name}"), kind, visit);
                    (!value.is_null()).then_some(value)
                });
                Value::Array(elements.collect())
            }
            None if elements.len() == there.len() => {
                let elements = elements.iter().zip(there).enumerate().map(|(index, (wanted, found))| {
                    walk(wanted, found, format!("{path}/{index}"), kind, visit)
                });
                Value::Array(elements.collect())
            }
            None => visit(change(path)),
        },
        _ if wanted == found || is_same_quantity(&path, wanted, found) => wanted.clone(),
        _ => visit(change(path)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rendered(kind: Kind, value: Value) -> Rendered {
        Rendered { kind, name: "a".to_owned(), hash: String::new(), value, adopts: false, based_on: None }
    }

    fn live(value: &Value) -> DynamicObject {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn deployment(containers: &Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
            "spec": {"template": {"spec": {"containers": containers}}},
        })
    }

    #[test]
    fn a_changed_field_is_named_and_replaced() {
        let ours = rendered(
            Kind::Deployment,
            deployment(
                &json!([{"name": "server", "image": "a/b:1", "args": ["serve"], "resources": {"limits": {"cpu": "0.5"}}}]),
            ),
        );
        let theirs = live(&deployment(&json!([
            {"name": "proxy", "image": "p"},
            {"name": "server", "image": "mirror/b:1", "args": ["serve", "x"], "resources": {"limits": {"cpu": "500m"}}, "tty": true},
        ])));
        let changes = changed_fields(&ours, &theirs);
        let paths: Vec<_> = changes.iter().map(|change| change.path.as_str()).collect();
        let container = "/spec/template/spec/containers/server";
        assert_eq!(paths, [format!("{container}/args"), format!("{container}/image")]);
        let value = replace_where(&ours, &theirs, |change| change.path.ends_with("/image"));
        let server = &value["spec"]["template"]["spec"]["containers"][0];
        assert_eq!((&server["image"], &server["args"]), (&json!("mirror/b:1"), &json!(["serve"])));
        assert_eq!(value["kind"], "Deployment");
    }

    #[test]
    fn a_field_that_is_missing_is_left_out_when_it_is_accepted() {
        let ours = rendered(
            Kind::Service,
            json!({"metadata": {"name": "a"}, "spec": {"type": "ClusterIP", "selector": {"a": "b"}}}),
        );
        let theirs = live(&json!({"metadata": {"name": "a"}, "spec": {"selector": {"a": "b"}}}));
        let value = replace_where(&ours, &theirs, |_| true);
        assert_eq!(value["spec"], json!({"selector": {"a": "b"}}));
    }

    #[test]
    fn parts_that_are_replaced_as_a_whole_are_one_change() {
        let ours = rendered(Kind::Service, json!({"spec": {"selector": {"a": "b"}}}));
        let theirs = live(&json!({"metadata": {}, "spec": {"selector": {"a": "b", "c": "d"}}}));
        let changes = changed_fields(&ours, &theirs);
        assert_eq!(changes.len(), 1);
        assert_eq!(
            (changes[0].path.as_str(), &changes[0].found),
            ("/spec/selector", &json!({"a": "b", "c": "d"}))
        );
    }
}

//! Repairs what an apply cannot: complete lists, and foreign fields where none are allowed.

use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::{Map, Value, json};

use crate::auth_service::render::Rendered;
use crate::cluster::controller_reference::controller_of;
use crate::cluster::kinds::Kind;
use crate::names::{INSTANCE, OPERATOR};

/// Replaces complete lists in the inspected version of the object.
pub(super) async fn overwrite(
    api: &Api<DynamicObject>,
    rendered: &Rendered,
    live: &DynamicObject,
) -> Result<DynamicObject, kube::Error> {
    let mut change = rendered.value.clone();
    change["metadata"] = inspected(live);
    api.patch(&rendered.name, &as_operator(), &Patch::Merge(&change)).await
}

/// Removes the fields that [`foreign_fields`] found, in the inspected version of the object.
pub(super) async fn remove_foreign_fields(
    api: &Api<DynamicObject>,
    name: &str,
    live: &DynamicObject,
    mut foreign_fields: Value,
) -> Result<DynamicObject, kube::Error> {
    let mut metadata = inspected(live);
    if let (Some(all), Some(foreign)) = (metadata.as_object_mut(), foreign_fields["metadata"].as_object()) {
        all.extend(foreign.clone());
    }
    foreign_fields["metadata"] = metadata;
    api.patch(name, &as_operator(), &Patch::Strategic(&foreign_fields)).await
}

/// The metadata with which the API server responds 409 if the object is no longer the inspected one.
fn inspected(live: &DynamicObject) -> Value {
    json!({ "uid": live.uid(), "resourceVersion": live.resource_version() })
}

fn as_operator() -> PatchParams {
    PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() }
}

/// Foreign fields that affect security: additional settings, additional environment variables of our containers,
/// another command, rules of a NetworkPolicy that has none. Returns a strategic merge patch that removes them. Pure.
///
/// Elsewhere, fields of other managers are kept, as in server-side apply.
pub(super) fn foreign_fields(rendered: &Rendered, live: &DynamicObject) -> Option<Value> {
    match rendered.kind {
        Kind::ConfigMap => {
            let members = ["data", "binaryData"].into_iter().filter_map(|member| {
                let ours = &rendered.value[member];
                let theirs =
                    live.data.get(member)?.as_object()?.keys().filter(|key| ours.get(*key).is_none());
                let gone: Map<_, _> = theirs.map(|key| (key.clone(), Value::Null)).collect();
                (!gone.is_empty()).then(|| (member.to_owned(), Value::Object(gone)))
            });
            let members: Map<_, _> = members.collect();
            (!members.is_empty()).then_some(Value::Object(members))
        }
        Kind::Deployment | Kind::StatefulSet => {
            let containers = |object: &Value| object.pointer("/spec/template/spec/containers").cloned();
            let theirs = containers(&live.data)?;
            let ours = containers(&rendered.value)?;
            let changes = ours.as_array()?.iter().filter_map(|ours| {
                foreign_fields_of_container(
                    ours,
                    theirs.as_array()?.iter().find(|c| c["name"] == ours["name"])?,
                )
            });
            let changes: Vec<Value> = changes.collect();
            (!changes.is_empty())
                .then(|| json!({ "spec": { "template": { "spec": { "containers": changes } } } }))
        }
        Kind::NetworkPolicy => {
            // The rendered policy allows no traffic, and applying it would not remove foreign rules.
            let added = ["ingress", "egress"].into_iter().filter(|direction| {
                !is_list(&rendered.value["spec"], direction) && is_list(&live.data["spec"], direction)
            });
            let gone: Map<_, _> = added.map(|direction| (direction.to_owned(), Value::Null)).collect();
            (!gone.is_empty()).then(|| json!({ "spec": gone }))
        }
        Kind::Secret => ties_of_retained(rendered, live),
        _ => None,
    }
}

/// The owner reference and the label of a Secret that is to outlive its AuthService. An apply does not remove them if
/// the Secret was created with them.
fn ties_of_retained(rendered: &Rendered, live: &DynamicObject) -> Option<Value> {
    if is_list(&rendered.value["metadata"], "ownerReferences") {
        return None;
    }
    let mut ties = Map::new();
    // The inspection has found that the controller is the AuthService.
    if let Some(owner) = controller_of(live) {
        ties.insert("ownerReferences".to_owned(), json!([{ "$patch": "delete", "uid": owner.uid }]));
    }
    if live.labels().contains_key(INSTANCE) {
        ties.insert("labels".to_owned(), json!({ INSTANCE: null }));
    }
    (!ties.is_empty()).then(|| json!({ "metadata": ties }))
}

/// Whether a member is a list that is not empty.
fn is_list(object: &Value, member: &str) -> bool {
    object.get(member).and_then(Value::as_array).is_some_and(|elements| !elements.is_empty())
}

fn has_duplicates(names: &[Value]) -> bool {
    names.iter().enumerate().any(|(index, name)| names[..index].contains(name))
}

fn foreign_fields_of_container(ours: &Value, theirs: &Value) -> Option<Value> {
    let mut change: Map<_, _> = ["command", "args", "envFrom"]
        .into_iter()
        .filter(|member| is_list(theirs, member) && !is_list(ours, member))
        .map(|member| (member.to_owned(), Value::Null))
        .collect();
    let names = |container: &Value| -> Vec<Value> {
        container["env"].as_array().into_iter().flatten().map(|variable| variable["name"].clone()).collect()
    };
    let known = names(ours);
    let found = names(theirs);
    if found.iter().any(|name| !known.contains(name)) || has_duplicates(&found) {
        // Replaced as a whole: of two variables with the same name the container uses the last one, and a deletion by
        // name would delete both.
        let mut replaced = vec![json!({ "$patch": "replace" })];
        replaced.extend(ours["env"].as_array().into_iter().flatten().cloned());
        change.insert("env".to_owned(), Value::Array(replaced));
    }
    if change.is_empty() {
        return None;
    }
    change.insert("name".to_owned(), ours["name"].clone());
    Some(Value::Object(change))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: Kind, ours: Value, theirs: Value) -> Option<Value> {
        let rendered = Rendered {
            kind,
            name: "a".to_owned(),
            hash: String::new(),
            value: ours,
            adopts: false,
            based_on: None,
        };
        let mut live =
            DynamicObject { types: None, metadata: kube::core::ObjectMeta::default(), data: Value::Null };
        live.data = theirs;
        foreign_fields(&rendered, &live)
    }

    #[test]
    fn foreign_settings_are_removed() {
        let ours = json!({"data": {"A": "1"}});
        assert_eq!(found(Kind::ConfigMap, ours.clone(), json!({"data": {"A": "2"}})), None);
        let theirs = json!({"data": {"A": "1", "B": "2"}, "binaryData": {"C": "eA=="}});
        let expected = json!({"data": {"B": null}, "binaryData": {"C": null}});
        assert_eq!(found(Kind::ConfigMap, ours, theirs), Some(expected));
    }

    #[test]
    fn foreign_rules_of_a_policy_without_rules_are_removed() {
        let ours = json!({"spec": {"policyTypes": ["Ingress"], "egress": [{"ports": []}]}});
        assert_eq!(found(Kind::NetworkPolicy, ours.clone(), json!({"spec": {"egress": [{}]}})), None);
        let theirs = json!({"spec": {"ingress": [{}], "egress": [{}]}});
        assert_eq!(found(Kind::NetworkPolicy, ours, theirs), Some(json!({"spec": {"ingress": null}})));
    }

    #[test]
    fn foreign_fields_of_our_containers_are_removed_and_other_containers_kept() {
        let pod = |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}});
        let ours = pod(json!([{"name": "server", "args": ["serve"], "env": [{"name": "A", "value": "1"}]}]));
        let beside = pod(json!([
            {"name": "proxy", "command": ["proxy"], "env": [{"name": "X"}]},
            {"name": "server", "args": ["other"], "env": [{"name": "A", "value": "2"}], "tty": true},
        ]));
        assert_eq!(found(Kind::Deployment, ours.clone(), beside), None, "applying sets right what we name");
        let theirs = pod(json!([{
            "name": "server", "args": ["serve"], "command": ["sh"], "envFrom": [{"prefix": "a"}],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        }]));
        let expected = pod(json!([{
            "name": "server", "command": null, "envFrom": null, "env": [{"$patch": "replace"}, {"name": "A", "value": "1"}],
        }]));
        assert_eq!(found(Kind::Deployment, ours.clone(), theirs), Some(expected));
        // Of two variables with the same name, the last one is effective.
        let twice = pod(json!([{
            "name": "server", "args": ["serve"],
            "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
        }]));
        let expected = pod(json!([{
            "name": "server", "env": [{"$patch": "replace"}, {"name": "A", "value": "1"}],
        }]));
        assert_eq!(found(Kind::Deployment, ours, twice), Some(expected));
    }
}

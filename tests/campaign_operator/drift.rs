//! Other clients that change, disown or delete an object of an AuthService.

use std::time::{Duration, Instant};

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::history::{Entry, Permit};
use crate::world::Place;

/// The objects of [`crate::scenario::Scenario::Still`]; the name of the Job is without its hash.
pub const OBJECTS: [(&str, &str); 22] = [
    ("Certificate", "auth"),
    ("ConfigMap", "auth-settings"),
    ("Deployment", "auth"),
    ("Ingress", "auth"),
    ("Job", "auth-migrate-"),
    ("NetworkPolicy", "auth"),
    ("NetworkPolicy", "auth-migrations"),
    ("NetworkPolicy", "auth-postgres"),
    ("NetworkPolicy", "auth-redis"),
    ("PodDisruptionBudget", "auth"),
    ("Secret", "auth-jwt-keys"),
    ("Secret", "auth-postgres"),
    ("Secret", "auth-redis"),
    ("Secret", "auth-smtp"),
    ("Service", "auth"),
    ("Service", "auth-management"),
    ("Service", "auth-postgres"),
    ("Service", "auth-redis"),
    ("ServiceAccount", "auth"),
    ("ServiceMonitor", "auth"),
    ("StatefulSet", "auth-postgres"),
    ("StatefulSet", "auth-redis"),
];
/// The objects of [`crate::scenario::Scenario::StillWithClient`] that there are only with AuthClients.
pub const OF_CLIENTS: [(&str, &str); 2] = [("Secret", "auth-clients"), ("Secret", "kept-oauth")];
/// The Secrets that the operator does not generate again.
const IRREPLACEABLE: [&str; 2] = ["auth-jwt-keys", "auth-postgres"];
/// How long a writer writes that does not stop by itself.
const WRITES_FOR: Duration = Duration::from_secs(3);

/// What another client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It deletes the object. An irreplaceable one is restored from a copy of its data.
    Deletes,
    RemovesOwner,
    RemovesLabel(&'static str),
    /// It changes the n-th field that the operator manages.
    Edits(usize),
    /// It applies another value for that field with its own field manager.
    Applies(usize),
    /// It edits the field continuously for some seconds.
    KeepsEditing(usize),
    /// It adds a setting, a variable or a rule where the operator permits none.
    AddsSetting,
}

/// Every deed of an object; the fields are chosen by these numbers.
pub fn deeds(kind: &str, fields: &[usize]) -> Vec<Deed> {
    let mut deeds = vec![
        Deed::Deletes,
        Deed::RemovesOwner,
        Deed::RemovesLabel("app.kubernetes.io/managed-by"),
        Deed::RemovesLabel("app.kubernetes.io/instance"),
    ];
    deeds.extend(fields.iter().map(|field| Deed::Edits(*field)));
    deeds.extend(fields.iter().take(2).flat_map(|field| [Deed::Applies(*field), Deed::KeepsEditing(*field)]));
    if ["ConfigMap", "Deployment", "StatefulSet", "NetworkPolicy"].contains(&kind) {
        deeds.push(Deed::AddsSetting);
    }
    deeds
}

/// Carries out a deed. Returns whether the API server accepted it.
pub async fn act(place: &Place<'_>, kind: &str, name: &str, deed: Deed) -> bool {
    let object = place.history.with_objects(|objects| {
        let found = objects.iter().find(|((of, full), _)| of == kind && (full == name || is_job(name, full)));
        found.map(|((_, name), object)| (name.clone(), object.clone()))
    });
    let Some((name, object)) = object else { panic!("there is no {kind} {name}") };
    let permit = Permit::Replacement { kind: kind.to_owned(), name: name.clone() };
    place.history.add(Entry::Permits(permit));
    match deed {
        Deed::Deletes => {
            delete(place, kind, &name, &object).await;
            true
        }
        Deed::RemovesOwner => {
            place.merge(kind, &name, &json!({"metadata": {"ownerReferences": null}})).await.is_ok()
        }
        Deed::RemovesLabel(label) => {
            place.merge(kind, &name, &json!({"metadata": {"labels": {label: null}}})).await.is_ok()
        }
        Deed::Edits(field) => {
            let Some(pointer) = nth_field(&object, field) else { return false };
            edit(place, kind, &name, &pointer).await
        }
        Deed::KeepsEditing(field) => {
            // Chosen once: of the fields that the operator manages at a time, the n-th one is always another. Together, a new
            // name and a new number make a port that is no longer the operator's, and stays.
            let Some(pointer) = nth_field(&object, field) else { return false };
            let started = Instant::now();
            let mut accepted = false;
            while started.elapsed() < WRITES_FOR {
                accepted |= edit(place, kind, &name, &pointer).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            accepted
        }
        Deed::Applies(field) => {
            let Some(pointer) = nth_field(&object, field) else { return false };
            let changed = changed(object.pointer(&pointer).unwrap_or(&Value::Null));
            let Some(mut applied) = alone(&pointer, &object, &changed) else { return false };
            applied["apiVersion"] = json!(api_version(kind));
            applied["kind"] = json!(kind);
            let parameters = PatchParams::apply("someone").force();
            let applied = place.api(kind).patch(&name, &parameters, &Patch::Apply(&applied)).await;
            match applied {
                Ok(applied) => {
                    place.wait_for_version(&applied).await;
                    true
                }
                Err(_) => false,
            }
        }
        Deed::AddsSetting => place.merge(kind, &name, &setting(kind, &object)).await.is_ok(),
    }
}

fn is_job(prefix: &str, full: &str) -> bool {
    prefix.ends_with('-') && full.starts_with(prefix)
}

fn api_version(kind: &str) -> String {
    let known = crate::observer::resource(kind);
    known.api_version
}

async fn delete(place: &Place<'_>, kind: &str, name: &str, object: &Value) {
    let api = place.api(kind);
    api.delete(name, &DeleteParams::background()).await.expect("it is deleted");
    if !IRREPLACEABLE.contains(&name) || kind != "Secret" {
        let uid = object["metadata"]["uid"].clone();
        crate::scenario::wait_for(&place.history, "the deletion", |history| {
            history.object(kind, name).is_none_or(|now| now["metadata"]["uid"] != uid)
        })
        .await;
        return;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let copy = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": object["data"],
    });
    let copy: DynamicObject = serde_json::from_value(copy).expect("a Secret");
    let restored = api.create(&PostParams::default(), &copy).await.expect("it is restored");
    place.wait_for_version(&restored).await;
}

/// Changes a field that the operator manages in the newest version of the object.
async fn edit(place: &Place<'_>, kind: &str, name: &str, pointer: &str) -> bool {
    let api = place.api(kind);
    let Ok(Some(live)) = api.get_opt(name).await else { return false };
    let mut object = serde_json::to_value(live).expect("JSON");
    let Some(value) = object.pointer_mut(pointer) else { return false };
    *value = changed(value);
    if let Some(members) = object["metadata"].as_object_mut() {
        members.remove("managedFields");
    }
    let object: DynamicObject = serde_json::from_value(object).expect("an object");
    let parameters = PostParams { field_manager: Some("someone".to_owned()), ..PostParams::default() };
    match api.replace(name, &parameters, &object).await {
        Ok(edited) => {
            place.wait_for_version(&edited).await;
            true
        }
        Err(_) => false,
    }
}

/// The JSON pointer of the n-th field that the operator applies, modulo their number.
pub fn nth_field(object: &Value, number: usize) -> Option<String> {
    let entries = object["metadata"]["managedFields"].as_array()?.iter();
    let own =
        entries.filter(|entry| entry["manager"] == "latchkey-operator" && entry["operation"] == "Apply");
    let mut fields = Vec::new();
    for entry in own {
        collect(&entry["fieldsV1"], object, "", &mut fields);
    }
    // Another path of a mount is another mount, which stays beside the operator's as a foreign element of the list. A Job
    // without the hash of its rendering counts as a Job of another release, and is left as it is.
    let is_job = object["metadata"]["name"].as_str().is_some_and(|name| name.contains("-migrate-"));
    let stays = |field: &str| field.ends_with("/mountPath") || (is_job && field.ends_with("~1rendered"));
    fields.retain(|field| !field.contains("ownerReferences") && !stays(field));
    (!fields.is_empty()).then(|| fields[number % fields.len()].clone())
}

/// Follows the notation of `fieldsV1`: `f:` names a member, `k:` an element of a list by its keys.
fn collect(fields: &Value, object: &Value, pointer: &str, found: &mut Vec<String>) {
    let members = fields.as_object().into_iter().flatten();
    let mut is_leaf = true;
    for (name, part) in members.filter(|(name, _)| *name != ".") {
        is_leaf = false;
        if let Some(member) = name.strip_prefix("f:") {
            let escaped = member.replace('~', "~0").replace('/', "~1");
            collect(part, &object[member], &format!("{pointer}/{escaped}"), found);
        } else if let Some(keys) = name.strip_prefix("k:") {
            let keys: Value = serde_json::from_str(keys).unwrap_or_default();
            let is_meant = |element: &Value| {
                keys.as_object().into_iter().flatten().all(|(name, value)| element[name] == *value)
            };
            let place = object.as_array().and_then(|elements| elements.iter().position(is_meant));
            if let Some(place) = place {
                collect(part, &object[place], &format!("{pointer}/{place}"), found);
            }
        }
    }
    if is_leaf && !object.is_null() {
        found.push(pointer.to_owned());
    }
}

/// Another value of the same type.
fn changed(value: &Value) -> Value {
    match value {
        Value::Null => json!("x"),
        Value::Bool(value) => json!(!value),
        Value::Number(number) => json!(number.as_i64().unwrap_or_default() + 1),
        Value::String(text) => {
            json!(if text.starts_with("eA") { "eQ==".to_owned() } else { format!("{text}x") })
        }
        Value::Array(elements) => json!(elements[..elements.len().saturating_sub(1)]),
        Value::Object(members) => {
            let mut members = members.clone();
            members.insert("example.com/x".to_owned(), json!("x"));
            Value::Object(members)
        }
    }
}

/// An object with nothing but this field; the elements of lists keep their names.
fn alone(pointer: &str, object: &Value, value: &Value) -> Option<Value> {
    let mut parts: Vec<String> =
        pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
    let last = parts.pop()?;
    let mut inner = json!({ last: value });
    while let Some(part) = parts.pop() {
        let escaped = parts.iter().map(|part| part.replace('~', "~0").replace('/', "~1"));
        let path = std::iter::once(String::new()).chain(escaped).collect::<Vec<_>>().join("/");
        let parent = object.pointer(&path)?;
        inner = match (parent, part.parse::<usize>()) {
            (Value::Array(elements), Ok(number)) => {
                for key in ["name", "port", "protocol", "containerPort", "mountPath"] {
                    if inner[key].is_null() && elements.get(number)?.get(key).is_some() {
                        inner[key] = elements[number][key].clone();
                    }
                }
                json!([inner])
            }
            _ => json!({ part: inner }),
        };
    }
    Some(inner)
}

/// What the operator does not permit beside its own.
fn setting(kind: &str, object: &Value) -> Value {
    let mut containers = object.pointer("/spec/template/spec/containers").cloned().unwrap_or_default();
    if let Some(first) = containers.get_mut(0) {
        let mut variables = first["env"].as_array().cloned().unwrap_or_default();
        variables.push(json!({"name": "TRUSTED_PROXIES", "value": "0.0.0.0/0"}));
        first["env"] = json!(variables);
    }
    match kind {
        "ConfigMap" => json!({"data": {"TRUSTED_PROXIES": "0.0.0.0/0"}}),
        "NetworkPolicy" => json!({"spec": {"ingress": [{}], "policyTypes": ["Ingress"]}}),
        _ => json!({"spec": {"template": {"spec": {"containers": containers}}}}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Value {
        json!({
            "metadata": {"managedFields": [{"manager": "latchkey-operator", "operation": "Apply", "fieldsV1": {
                "f:metadata": {"f:labels": {"f:app.kubernetes.io/name": {}}},
                "f:spec": {"f:ports": {r#"k:{"port":80,"protocol":"TCP"}"#: {".": {}, "f:name": {}}}},
            }}], "labels": {"app.kubernetes.io/name": "a"}},
            "spec": {"ports": [{"port": 80, "protocol": "TCP", "name": "http"}]},
        })
    }

    #[test]
    fn the_managed_fields_are_found() {
        let fields: Vec<_> = (0..2).filter_map(|number| nth_field(&service(), number)).collect();
        assert_eq!(fields, ["/metadata/labels/app.kubernetes.io~1name", "/spec/ports/0/name"]);
        assert_eq!(nth_field(&json!({}), 0), None);
    }

    #[test]
    fn a_field_is_applied_alone() {
        let found = alone("/spec/ports/0/name", &service(), &json!("x"));
        assert_eq!(found, Some(json!({"spec": {"ports": [{"name": "x", "port": 80, "protocol": "TCP"}]}})));
        let found = alone("/metadata/labels/app.kubernetes.io~1name", &service(), &json!("x"));
        assert_eq!(found, Some(json!({"metadata": {"labels": {"app.kubernetes.io/name": "x"}}})));
    }
}

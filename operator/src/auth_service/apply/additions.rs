//! Additions by others that affect security, one by one. [`super::repair`] decides how they are removed. Pure.

use kube::core::DynamicObject;
use serde_json::Value;

use super::field_changes::Change;
use crate::auth_service::render::Rendered;
use crate::cluster::kinds::Kind;

const CONTAINERS: &str = "/spec/template/spec/containers";

/// The additions to the settings, to our containers, and to a NetworkPolicy without rules.
pub(super) fn additions(rendered: &Rendered, live: &DynamicObject) -> Vec<Change> {
    let mut found = Vec::new();
    let mut add = |path: String, value: &Value| {
        found.push(Change { path, wanted: Value::Null, found: value.clone() });
    };
    match rendered.kind {
        Kind::ConfigMap => {
            for member in ["data", "binaryData"] {
                let ours = &rendered.value[member];
                let theirs = live.data.get(member).and_then(Value::as_object);
                for (key, value) in theirs.into_iter().flatten().filter(|(key, _)| ours.get(key).is_none()) {
                    add(format!("/{member}/{key}"), value);
                }
            }
        }
        Kind::Deployment | Kind::StatefulSet => {
            for ours in elements(&rendered.value, CONTAINERS) {
                let Some(theirs) =
                    elements(&live.data, CONTAINERS).iter().find(|theirs| theirs["name"] == ours["name"])
                else {
                    continue;
                };
                let place = format!("{CONTAINERS}/{}", ours["name"].as_str().unwrap_or_default());
                for member in ["command", "args", "envFrom"] {
                    if elements(ours, &format!("/{member}")).is_empty()
                        && !elements(theirs, &format!("/{member}")).is_empty()
                    {
                        add(format!("{place}/{member}"), &theirs[member]);
                    }
                }
                for variable in elements(theirs, "/env") {
                    if elements(ours, "/env").iter().all(|known| known["name"] != variable["name"]) {
                        add(
                            format!("{place}/env/{}", variable["name"].as_str().unwrap_or_default()),
                            variable,
                        );
                    }
                }
            }
        }
        Kind::NetworkPolicy => {
            for direction in ["ingress", "egress"].map(|direction| format!("/spec/{direction}")) {
                if elements(&rendered.value, &direction).is_empty()
                    && !elements(&live.data, &direction).is_empty()
                {
                    add(direction.clone(), live.data.pointer(&direction).unwrap_or(&Value::Null));
                }
            }
        }
        _ => {}
    }
    found
}

/// Makes an addition part of the rendered value.
pub(super) fn accept(value: &mut Value, kind: Kind, addition: &Change) {
    let path: Vec<&str> = addition.path.split('/').skip(1).collect();
    match kind {
        Kind::ConfigMap | Kind::NetworkPolicy => {
            if let [parent, member] = path[..] {
                value[parent][member] = addition.found.clone();
            }
        }
        Kind::Deployment | Kind::StatefulSet => {
            let Some(rest) = addition.path.strip_prefix(CONTAINERS).map(|rest| rest.split('/').skip(1))
            else {
                return;
            };
            let rest: Vec<&str> = rest.collect();
            let containers =
                value.pointer_mut(CONTAINERS).and_then(Value::as_array_mut).into_iter().flatten();
            for container in containers.filter(|container| container["name"] == rest[0]) {
                match rest.get(1) {
                    Some(&"env") => match container["env"].as_array_mut() {
                        Some(variables) => variables.push(addition.found.clone()),
                        None => container["env"] = Value::Array(vec![addition.found.clone()]),
                    },
                    Some(member) => container[*member] = addition.found.clone(),
                    None => {}
                }
            }
        }
        _ => {}
    }
}

fn elements<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

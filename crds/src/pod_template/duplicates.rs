//! Refuses duplicates in lists of an override of the pod template whose elements Kubernetes identifies by a key: the API
//! server would refuse the Deployment, or merge two elements.

use serde_json::{Map, Value};

use super::fields::{Refusal, elements, member};

type Keys = &'static [&'static str];

/// The lists of a pod, with the keys of their elements.
const OF_POD: [(&str, Keys); 8] = [
    ("containers", &["name"]),
    ("hostAliases", &["ip"]),
    ("imagePullSecrets", &["name"]),
    ("initContainers", &["name"]),
    ("resourceClaims", &["name"]),
    ("schedulingGates", &["name"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("volumes", &["name"]),
];
/// The lists of a container.
const OF_CONTAINER: [(&str, Keys); 4] = [
    ("env", &["name"]),
    ("ports", &["containerPort", "protocol"]),
    ("volumeDevices", &["devicePath"]),
    ("volumeMounts", &["mountPath"]),
];

/// Checks the lists of a pod's spec and of its containers.
pub(super) fn check(spec: &Map<String, Value>) -> Refusal {
    for (list, keys) in OF_POD {
        check_list(spec, list, keys, ".spec")?;
    }
    let mut names = Vec::new();
    for list in ["containers", "initContainers"] {
        for (container, path) in elements(spec, list, ".spec")? {
            for (list, keys) in OF_CONTAINER {
                check_list(container, list, keys, &path)?;
            }
            if let Some(resources) = member(container, "resources", &path)? {
                check_list(resources, "claims", &["name"], &format!("{path}.resources"))?;
            }
            let name = container.get("name");
            if names.contains(&name) {
                return Err(duplicate(&path, &["name"]));
            }
            names.push(name);
        }
    }
    Ok(())
}

fn check_list(object: &Map<String, Value>, list: &str, keys: Keys, path: &str) -> Refusal {
    let mut known = Vec::new();
    for (element, path) in elements(object, list, path)? {
        let identity: Vec<_> = keys.iter().map(|key| value_of(element, key)).collect();
        if known.contains(&identity) {
            return Err(duplicate(&path, keys));
        }
        known.push(identity);
    }
    Ok(())
}

/// The value of a key, or its default.
fn value_of(element: &Map<String, Value>, key: &str) -> Option<Value> {
    let default = || (key == "protocol").then(|| Value::from("TCP"));
    element.get(key).cloned().or_else(default)
}

fn duplicate(path: &str, keys: &[&str]) -> String {
    format!("{path} has the same {} as an element before it: remove one.", keys.join(" and "))
}

//! The keys of lists in types of the Kubernetes API, whose generated schemas do not contain them. The API server refuses
//! duplicates in these lists. A rule refuses them in the AuthService, and not only in the object that the operator
//! derives from it.
//!
//! With `x-kubernetes-list-type: map` a server-side apply would respond to duplicates with an internal error.

use serde_json::{Value, json};

/// A key of a list, and its maximum length in characters, which bounds the cost of the rule.
type Key = (&'static str, u64);

/// The lists by the name of their field, with their keys.
const LISTS: [(&str, &[Key]); 2] = [
    ("claims", &[("name", 63)]),
    ("topologySpreadConstraints", &[("topologyKey", 317), ("whenUnsatisfiable", 63)]),
];

/// Adds a rule for each of these lists to the schema of `path`. A list of ours with such a name has its own rules, or other
/// elements.
pub(crate) fn declare(schema: &mut Value, path: &str) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, property) in properties {
        let path = format!("{path}.{name}");
        let keys = LISTS.iter().find(|(list, _)| list == name).map(|(_, keys)| *keys);
        let is_generated = property.get("x-kubernetes-validations").is_none();
        let has = |key: &Key| property["items"]["properties"].get(key.0).is_some();
        if let Some(keys) = keys.filter(|keys| is_generated && keys.iter().all(has)) {
            add_rule(property, &path, keys);
        }
        declare(property, &path);
    }
}

fn add_rule(list: &mut Value, path: &str, keys: &[Key]) {
    for (key, longest) in keys {
        list["items"]["properties"][key]["maxLength"] = json!(longest);
    }
    let equal: Vec<String> = keys.iter().map(|(key, _)| format!("one.{key} == other.{key}")).collect();
    let names: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
    list["x-kubernetes-validations"] = json!([{
        "message": format!("{path} has two elements with the same {}: remove one", names.join(" and ")),
        "rule": format!("self.all(one, self.exists_one(other, {}))", equal.join(" && ")),
    }]);
}

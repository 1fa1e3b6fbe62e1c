//! The keys of lists in types of the Kubernetes API, whose generated schemas do not contain them. The API server refuses
//! duplicates in these lists; with the keys it refuses them in the AuthService, and not only in the object that the
//! operator derives from it.

use serde_json::{Value, json};

/// The lists by the name of their field, with their keys.
const LISTS: [(&str, &[&str]); 2] =
    [("claims", &["name"]), ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"])];

/// Declares the keys in a schema.
pub(crate) fn declare(schema: &mut Value) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            let keys = LISTS.iter().find(|(list, _)| list == name).map(|(_, keys)| keys);
            if let Some(keys) = keys.filter(|_| property["type"] == "array") {
                property["x-kubernetes-list-type"] = json!("map");
                property["x-kubernetes-list-map-keys"] = json!(keys);
            }
            declare(property);
        }
    }
    for part in ["items", "additionalProperties"] {
        if let Some(part) = schema.get_mut(part).filter(|part| part.is_object()) {
            declare(part);
        }
    }
}

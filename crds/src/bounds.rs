//! Default bounds for lists, maps and strings without explicit ones, such as those in types of the Kubernetes API. An
//! unbounded value would let one object fill etcd, and would exceed the cost limit of CEL validation rules.

use serde_json::{Value, json};

/// Default maximum number of elements of a list or map.
const ELEMENTS: i64 = 64;
/// Default maximum length of a string, in characters; annotations of service meshes hold whole documents.
const CHARACTERS: i64 = 16_384;

/// Sets the default bounds on every list, map and string of a schema that has none.
pub(crate) fn bound(schema: &mut Value) {
    let limit = match schema["type"].as_str() {
        Some("array") => Some(("maxItems", ELEMENTS)),
        Some("object") if schema.get("additionalProperties").is_some() => Some(("maxProperties", ELEMENTS)),
        Some("string") if schema.get("enum").is_none() => Some(("maxLength", CHARACTERS)),
        _ => None,
    };
    if let (Some((name, most)), Some(members)) = (limit, schema.as_object_mut()) {
        members.entry(name).or_insert_with(|| json!(most));
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(bound);
    }
    for part in ["items", "additionalProperties"] {
        if let Some(part) = schema.get_mut(part).filter(|part| part.is_object()) {
            bound(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_bounded_stays_and_what_is_not_becomes_so() {
        let mut schema = json!({"type": "object", "properties": {
            "a": {"type": "array", "maxItems": 3, "items": {"type": "string"}},
            "b": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 5}},
            "c": {"type": "string", "enum": ["x"]},
        }});
        bound(&mut schema);
        let expected = json!({"type": "object", "properties": {
            "a": {"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": CHARACTERS}},
            "b": {"type": "object", "maxProperties": ELEMENTS, "additionalProperties": {"type": "string", "maxLength": 5}},
            "c": {"type": "string", "enum": ["x"]},
        }});
        assert_eq!(schema, expected);
    }
}

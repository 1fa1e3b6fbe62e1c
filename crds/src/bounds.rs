//! Bounds for what has none of its own: the types that Kubernetes' own API brings with it, and maps. An unbounded
//! list, map or text would let one object fill the API server's store and make its rules too dear to be checked.

use serde_json::{Value, json};

/// The most elements of a list or map that says nothing itself.
const ELEMENTS: i64 = 64;
/// The longest text that says nothing itself, in characters; annotations of meshes hold whole documents.
const CHARACTERS: i64 = 16_384;

/// Bounds every list, map and text of a schema that is not bounded yet.
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

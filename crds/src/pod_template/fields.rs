//! Reading the fields of an override of the pod template, and the names that belong to the operator.

use latchkey_config::variables;
use serde_json::{Map, Value};

/// The names of the operator's volumes, also of those that a spec does not use now.
pub const VOLUMES: [&str; 13] = [
    "keys",
    "database",
    "database-client",
    "redis",
    "redis-client",
    "smtp",
    "pepper",
    "trusted-cas",
    "admin",
    "introspection",
    "mail-texts",
    "tls",
    "kubernetes",
];

/// A refused field.
pub(super) type Refusal = Result<(), String>;
/// An element of a list, with its path.
pub(super) type Element<'a> = (&'a Map<String, Value>, String);

/// Refuses every field that is not allowed.
pub(super) fn only(object: &Map<String, Value>, allowed: &[&str], path: &str) -> Refusal {
    match object.keys().find(|name| !allowed.contains(&name.as_str())) {
        Some(name) => Err(format!("{path}.{name} cannot be overridden: remove it.")),
        None => Ok(()),
    }
}

/// A member that must be an object.
pub(super) fn member<'a>(
    object: &'a Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Option<&'a Map<String, Value>>, String> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::Object(found)) => Ok(Some(found)),
        Some(_) => Err(format!("{path}.{name} must be an object.")),
    }
}

/// The elements of a list of objects, each with its path.
pub(super) fn elements<'a>(
    object: &'a Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Vec<Element<'a>>, String> {
    let list = match object.get(name) {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(format!("{path}.{name} must be a list.")),
    };
    let element = |(index, element): (usize, &'a Value)| match element {
        Value::Object(found) => Ok((found, format!("{path}.{name}[{index}]"))),
        _ => Err(format!("{path}.{name}[{index}] must be an object.")),
    };
    list.iter().enumerate().map(element).collect()
}

/// The name of an element.
pub(super) fn name_of(element: &Map<String, Value>) -> &str {
    element.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// Whether a variable changes the server's settings, or how its code is loaded and its certificates are verified.
pub(super) fn is_setting(variable: &str) -> bool {
    let without_file = variable.strip_suffix("_FILE").unwrap_or(variable);
    variables::ALL.contains(&variable)
        || variables::ALL.contains(&without_file)
        || variable.starts_with("LD_")
        || ["SSL_CERT_FILE", "SSL_CERT_DIR"].contains(&variable)
}

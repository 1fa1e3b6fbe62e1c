//! Renders the CustomResourceDefinitions as YAML, for the committed files and for `latchkey-operator crds`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::{AuthClient, AuthService};

/// A definition could not be rendered as YAML.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// The conversion to YAML failed.
    #[error("the definition cannot be written as YAML: {0}")]
    Yaml(#[from] serde_yaml_ng::Error),
    /// The conversion to JSON, from which the YAML is generated, failed.
    #[error("the definition cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

const HEADER: &str = "# Generated from the Rust types in crds/src by `cargo run -p latchkey-crds --bin crdgen`; do not edit.\n";

/// The CustomResourceDefinition of [`AuthService`] as one YAML document.
///
/// # Errors
/// A schema contains a value that YAML cannot represent.
pub fn auth_service_yaml() -> Result<String, CrdError> {
    yaml(&AuthService::crd())
}

/// The CustomResourceDefinition of [`AuthClient`] as one YAML document.
///
/// # Errors
/// A schema contains a value that YAML cannot represent.
pub fn auth_client_yaml() -> Result<String, CrdError> {
    yaml(&AuthClient::crd())
}

fn yaml(definition: &CustomResourceDefinition) -> Result<String, CrdError> {
    let mut definition = serde_json::to_value(definition)?;
    unwrap_descriptions(&mut definition);
    for version in definition["spec"]["versions"].as_array_mut().into_iter().flatten() {
        let parts = &mut version["schema"]["openAPIV3Schema"]["properties"];
        crate::bounds::bound(&mut parts["spec"]);
        crate::list_keys::declare(&mut parts["spec"], "spec");
        // kstatus considers an object without a status current. The default marks a new object as not yet observed.
        parts["status"]["default"] = serde_json::json!({ "observedGeneration": -1 });
    }
    Ok(format!("{HEADER}---\n{}", quote_keys(&serde_yaml_ng::to_string(&definition)?)))
}

/// Quotes the keys that helm and kubectl would read as true and false, because they parse YAML 1.1: `y` and `n` of a JWK.
fn quote_keys(yaml: &str) -> String {
    let lines = yaml.lines().map(|line| {
        let key = line.trim_start();
        let indent = &line[..line.len() - key.len()];
        match key.strip_suffix(':') {
            Some(name @ ("y" | "n" | "yes" | "no" | "on" | "off")) => format!("{indent}\"{name}\":\n"),
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}

/// Unwraps descriptions: docstrings are wrapped for the source file, and `kubectl explain` would keep these line
/// breaks.
fn unwrap_descriptions(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = unwrap(text);
            }
            members.values_mut().for_each(unwrap_descriptions);
        }
        Value::Array(elements) => elements.iter_mut().for_each(unwrap_descriptions),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Joins the lines of each paragraph and leaves lists unchanged.
fn unwrap(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let is_list = paragraph.lines().any(|line| line.starts_with([' ', '-', '*']));
        if is_list { paragraph.to_owned() } else { paragraph.lines().collect::<Vec<_>>().join(" ") }
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_a_boolean_of_yaml_1_1() {
        let (services, clients) = (auth_service_yaml().unwrap(), auth_client_yaml().unwrap());
        for quoted in ["\"n\":", "\"y\":"] {
            assert!(clients.lines().any(|line| line.trim_start() == quoted), "{quoted}");
        }
        let is_boolean = |line: &&str| {
            let key = line.trim_start().trim_start_matches("- ").split(':').next().unwrap_or_default();
            ["y", "n", "yes", "no", "on", "off"].contains(&key.to_ascii_lowercase().as_str())
        };
        assert_eq!(services.lines().chain(clients.lines()).find(is_boolean), None);
    }

    #[test]
    fn a_paragraph_becomes_one_line_and_a_list_stays() {
        assert_eq!(unwrap("a\nb\n\nc:\n- d\n- e"), "a b\n\nc:\n- d\n- e");
    }
}

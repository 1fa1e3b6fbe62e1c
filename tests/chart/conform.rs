//! kubeconform with the schemas of the API server. It is strict, so that it finds a misspelt field, which the API
//! server would silently drop.

use std::fs;
use std::path::Path;
use std::process::Command;

use kube::Client;
use latchkey_tests::process::run_with_input;
use latchkey_tests::{programs, wait};
use serde_json::{Map, Value, json};

use crate::linters::{PRODUCTION, manifests};

/// Kinds of definitions whose schema is published late.
const OF_DEFINITIONS: [&str; 2] = ["servicemonitor", "prometheusrule"];

/// Checks the rendered chart, with default values and with everything enabled.
pub async fn kubeconform(client: &Client, folder: &Path) {
    let schemas = folder.join("schemas");
    fs::create_dir_all(&schemas).expect("a folder");
    wait::until("the API server to publish the schemas of the definitions", async || {
        let document = fetch(client).await;
        write_schemas(&document, &schemas);
        let missing: Vec<_> = OF_DEFINITIONS.iter().filter(|kind| !has_schema(&schemas, kind)).collect();
        wait::check(missing.is_empty(), format!("no schema of {missing:?}"))
    })
    .await;
    let location = format!("{}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json", schemas.display());
    for values in [&[][..], &PRODUCTION] {
        let mut command = Command::new(programs::test_bed("kubeconform"));
        command.args(["-strict", "-summary", "-schema-location", &location, "-"]);
        let output = run_with_input(&mut command, &manifests(values));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("Skipped: 0"), "{text}");
    }
    // It finds a misspelt field.
    let mut command = Command::new(programs::test_bed("kubeconform"));
    command.args(["-strict", "-schema-location", &location, "-"]);
    let misspelt = manifests(&[]).replace("imagePullPolicy:", "imagePulPolicy:");
    let output = run_with_input(&mut command, &misspelt);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stdout).contains("imagePulPolicy"));
}

async fn fetch(client: &Client) -> Value {
    let request = http::Request::get("/openapi/v2").body(Vec::new()).expect("a request");
    client.request(request).await.expect("the API server's OpenAPI document")
}

fn has_schema(schemas: &Path, kind: &str) -> bool {
    let found = fs::read_dir(schemas).expect("the folder").flatten();
    found.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{kind}-")))
}

/// One file per kind, with the name that kubeconform expects: `deployment-apps-v1.json`.
fn write_schemas(document: &Value, schemas: &Path) {
    let definitions = document["definitions"].as_object().expect("definitions");
    for (name, definition) in definitions {
        let Some(kinds) = definition["x-kubernetes-group-version-kind"].as_array() else { continue };
        // DeleteOptions and similar kinds belong to every group.
        let [kind] = &kinds[..] else { continue };
        let text = |field: &str| kind[field].as_str().unwrap_or_default().to_lowercase();
        // kubeconform uses the first part of a group.
        let group = text("group").split('.').next().unwrap_or_default().to_owned();
        let parts = [text("kind"), group, text("version")];
        let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let schema = resolve(definitions, &json!({"$ref": format!("#/definitions/{name}")}), &mut Vec::new());
        fs::write(schemas.join(format!("{}.json", parts.join("-"))), schema.to_string()).expect("written");
    }
}

/// A schema without references that rejects unknown fields. Recursive types end at the second level.
fn resolve<'a>(definitions: &'a Map<String, Value>, schema: &'a Value, inside: &mut Vec<&'a str>) -> Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        if inside.contains(&name) {
            return json!({});
        }
        // A quantity can be a number or a string, and so can a port.
        if name.ends_with(".Quantity") || name.ends_with(".IntOrString") {
            return json!({"type": ["string", "number"]});
        }
        let definition = &definitions[name];
        let (name, _) = definitions.get_key_value(name).expect("a definition");
        inside.push(name);
        let resolved = resolve(definitions, definition, inside);
        inside.pop();
        return resolved;
    }
    let Some(object) = schema.as_object() else { return schema.clone() };
    let mut resolved = Map::new();
    for (key, value) in object {
        let value = match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => properties
                .iter()
                .map(|(name, property)| (name.clone(), resolve(definitions, property, inside)))
                .collect(),
            ("items" | "additionalProperties", value) => resolve(definitions, value, inside),
            ("type" | "required" | "enum" | "pattern", value) => value.clone(),
            _ => continue,
        };
        resolved.insert(key.clone(), value);
    }
    let open = object.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
    if resolved.contains_key("properties") && !resolved.contains_key("additionalProperties") && !open {
        resolved.insert("additionalProperties".to_owned(), json!(false));
    }
    if object.get("x-kubernetes-int-or-string") == Some(&json!(true)) {
        resolved.insert("type".to_owned(), json!(["string", "integer"]));
    }
    Value::Object(resolved)
}

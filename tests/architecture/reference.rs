//! The tables of docs/reference list what the code has, and nothing else. Tests beside the code compare the others:
//! metrics, conditions, audit events, e-mails, the retention of data, commands and `/status`.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_config::{Settings, variables};
use latchkey_tests::documentation::{code_spans, names, read, rows, section};
use serde_json::Value;

use crate::sources::rust_sources;

/// A variable of this prefix is read by the library for traces.
const OF_THE_LIBRARY: &str = "OTEL_";

fn settings_rows() -> Vec<(Vec<String>, Vec<String>)> {
    let page = read("docs/reference/settings.md");
    let (table, _) = page.split_once("\n## ").expect("a section after the table");
    rows(table).into_iter().map(|row| (code_spans(&row[0]), row)).collect()
}

#[test]
fn the_settings_are_those_of_the_server() {
    let mut listed = BTreeSet::new();
    for name in settings_rows().into_iter().flat_map(|(names, _)| names) {
        assert!(listed.insert(name.clone()), "{name} is listed twice");
    }
    let ours = |name: &&str| !name.starts_with(OF_THE_LIBRARY);
    let known: BTreeSet<_> = variables::ALL.iter().copied().filter(ours).map(str::to_owned).collect();
    listed.retain(|name| !name.starts_with(OF_THE_LIBRARY));
    assert_eq!(listed, known);
}

#[test]
fn the_secrets_among_the_settings_are_marked() {
    let mut marked = BTreeSet::new();
    for (_, row) in settings_rows() {
        for part in row[0].split(", ").filter(|part| part.ends_with('*')) {
            marked.extend(code_spans(part));
        }
    }
    assert_eq!(marked, variables::SECRETS.into_iter().map(str::to_owned).collect());
}

#[test]
fn the_defaults_of_the_settings_are_those_of_the_server() {
    let required: BTreeMap<String, String> = [
        (variables::DATABASE_URL, "postgres://database/latchkey"),
        (variables::REDIS_URL, "redis://cache"),
        (variables::ISSUER_URL, "https://auth.example.com"),
        (variables::JWT_KEYS_FILE, "/keys.json"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let settings =
        |given: &BTreeMap<String, String>| Settings::from_variables(given).map(|read| read.to_variables());
    let mut with_mail = required.clone();
    for (name, value) in [
        (variables::EMAILS_ENABLED, "true"),
        (variables::SMTP_HOST, "smtp.example.com"),
        (variables::EMAILS_FROM_EMAIL, "auth@example.com"),
        (variables::WORKLOAD_IDENTITY_ENABLED, "true"),
    ] {
        with_mail.insert(name.to_owned(), value.to_owned());
    }
    let mut defaults = settings(&with_mail).expect("valid settings");
    defaults.extend(settings(&required).expect("valid settings"));
    for (names, row) in settings_rows() {
        for name in names {
            let stated = row[1].strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
            if row[1] == "required" {
                let mut others = required.clone();
                assert!(others.remove(&name).is_some(), "{name} is not required");
                assert!(settings(&others).is_err(), "{name} is not required");
            } else if !with_mail.contains_key(&name) || stated.is_some() {
                let actual = defaults.get(&name).map(String::as_str);
                assert_eq!(stated, actual, "the default of {name}; the page says {:?}", row[1]);
            }
        }
    }
}

#[test]
fn the_sections_of_the_spec_are_those_of_the_definition() {
    let page = read("docs/reference/authservice.md");
    let crd: Value = serde_yaml_ng::from_str(&read("crds/auth_service.yaml")).expect("YAML");
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let fields: BTreeSet<_> = spec.as_object().expect("fields").keys().cloned().collect();
    let (_, table) = page.split_once("| section |").expect("the table");
    let table = table.split("\n## ").next().unwrap_or_default();
    assert_eq!(names(&format!("| section |{table}")), fields);
}

#[test]
fn the_fields_of_an_auth_client_are_those_of_the_definition() {
    let page = read("docs/reference/authclient.md");
    let crd: Value = serde_yaml_ng::from_str(&read("crds/auth_client.yaml")).expect("YAML");
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let fields: BTreeSet<_> = spec.as_object().expect("fields").keys().cloned().collect();
    let (_, table) = page.split_once("| field |").expect("the table");
    let table = table.split("\n## ").next().unwrap_or_default();
    assert_eq!(names(&format!("| field |{table}")), fields);
}

#[test]
fn the_kinds_of_objects_are_those_of_the_operator() {
    let source = read("operator/src/cluster/kinds.rs");
    let (_, body) = source.split_once("fn as_str(self) -> &'static str {").expect("the names of kinds");
    let body = body.split("\n    }").next().unwrap_or_default();
    let kinds: BTreeSet<_> = body.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(kinds.len() > 10, "{kinds:?}");
    let page = read("docs/reference/objects.md");
    let table = page.split("\n## ").next().unwrap_or_default();
    let mut listed: BTreeSet<_> = rows(table)
        .iter()
        .flat_map(|row| row[0].split(", ").map(str::to_owned).collect::<Vec<_>>())
        .collect();
    // The controllers of Deployments, StatefulSets and Jobs create pods.
    listed.insert("Pod".to_owned());
    assert_eq!(listed, kinds);
}

#[test]
fn the_annotations_are_those_of_the_operator() {
    const PREFIX: &str = "latchkey.dev/";
    let page = read("docs/reference/objects.md");
    let listed: BTreeSet<_> = code_spans(section(&page, "## Annotations"))
        .into_iter()
        .filter(|name| name.starts_with(PREFIX))
        .collect();
    let mut known = BTreeSet::new();
    for line in read("operator/src/names.rs").lines().filter(|line| line.contains("ANNOTATION: &str")) {
        known.extend(line.split('"').nth(1).map(str::to_owned));
    }
    let requests = read("operator/src/signing_keys/observed.rs");
    let requests = requests.split('"').skip(1).step_by(2).filter(|text| text.ends_with("-keys"));
    known.extend(requests.map(|name| format!("{PREFIX}{name}")));
    assert!(known.len() > 6, "{known:?}");
    assert_eq!(listed, known);
    // Where else an annotation might be named.
    for file in rust_sources("operator/src") {
        let source = read(file.to_str().expect("a text"));
        for text in source.split('"').filter(|text| text.starts_with(PREFIX) && text.len() > PREFIX.len()) {
            let is_known = known.contains(text) || text.starts_with("latchkey.dev/v1");
            assert!(is_known, "{}: {text}", file.display());
        }
    }
}

#[test]
fn the_operations_of_the_api_are_those_of_the_openapi_document() {
    const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    let document: Value = serde_json::from_str(&read("docs/reference/openapi.json")).expect("JSON");
    let mut operations = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let methods = methods.as_object().expect("methods").keys().map(|method| method.to_uppercase());
        operations.extend(
            methods
                .filter(|method| METHODS.contains(&method.as_str()))
                .map(|method| format!("{method} {path}")),
        );
    }
    assert!(operations.len() > 20, "{operations:?}");
    let page = read("docs/reference/api.md");
    let prose: String = page.split("```").step_by(2).collect();
    let named: BTreeSet<_> = code_spans(&prose)
        .into_iter()
        .filter(|span| span.split_once(" /").is_some_and(|(method, _)| METHODS.contains(&method)))
        .collect();
    assert_eq!(named, operations);
}

#[test]
fn the_index_lists_every_page_of_the_reference() {
    let page = read("docs/reference/README.md");
    let listed: BTreeSet<_> = rows(&page)
        .iter()
        .filter_map(|row| Some(row[0].split_once("](")?.1.trim_end_matches(')').to_owned()))
        .collect();
    let folder = latchkey_tests::programs::workspace().join("docs/reference");
    let files = std::fs::read_dir(folder).expect("the folder");
    let mut files: BTreeSet<_> =
        files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect();
    files.remove("README.md");
    // The pages show the images.
    files.retain(|file| std::path::Path::new(file).extension().is_none_or(|kind| kind != "svg"));
    assert_eq!(listed, files);
}

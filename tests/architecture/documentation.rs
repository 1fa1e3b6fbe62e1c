//! Pages of the documentation agree with the code and with the scripts that run their commands.

use std::collections::BTreeSet;
use std::fs;

use latchkey_tests::programs::workspace;
use serde_json::Value;

use crate::sources::{repository_files, rust_sources};

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The `sh` blocks of a page, each with the comment in front of it.
fn commands(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut previous = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line == "```sh" {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            let mark = previous.strip_prefix("<!-- ").and_then(|mark| mark.strip_suffix(" -->"));
            blocks.push((mark.unwrap_or_default().to_owned(), block.join("\n")));
        }
        if !line.trim().is_empty() {
            previous = line;
        }
    }
    blocks
}

#[test]
fn every_command_of_getting_started_is_run() {
    let demo = read("scripts/demo");
    let run_by_demo: BTreeSet<_> = demo
        .match_indices("run_block ")
        .map(|(at, found)| {
            let rest = &demo[at + found.len()..];
            rest.split(|character: char| !character.is_ascii_lowercase())
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    assert!(read("scripts/run-api-docs").contains("docs/getting-started.md \"run by scripts/run-api-docs\""));

    let mut named = BTreeSet::new();
    for (mark, block) in commands(&read("docs/getting-started.md")) {
        if let Some(name) = mark.strip_prefix("run by scripts/demo: ") {
            assert!(named.insert(name.to_owned()), "two blocks are called {name}");
        } else if mark == "printed by scripts/demo" {
            // It runs until it is interrupted.
            let printed = demo.replace("$space", "latchkey-demo").replace("$name", "demo");
            assert!(printed.contains(&block), "scripts/demo does not print: {block}");
        } else {
            assert_eq!(mark, "run by scripts/run-api-docs", "nothing runs:\n{block}");
        }
    }
    assert!(!named.is_empty());
    assert_eq!(named, run_by_demo, "the page and scripts/demo differ");
}

#[test]
fn the_reference_lists_every_condition() {
    let page = read("docs/reference/conditions.md");
    let listed: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(type_, _)| type_.to_owned())
        .collect();
    let types: BTreeSet<_> = latchkey_crds::conditions::ALL.into_iter().map(str::to_owned).collect();
    assert_eq!(listed, types);
}

/// Values of Kubernetes and its controllers in the operator's status code, which are no reasons of its conditions.
const OTHER_WORDS: [&str; 4] = ["PodScheduled", "ProgressDeadlineExceeded", "ReplicaFailure", "ResolvedRefs"];

/// `"LikeThis"` in the code before a file's tests.
fn camel_case_texts(file: &str) -> BTreeSet<String> {
    let source = read(file);
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let texts = code.split('"').filter(|text| {
        text.starts_with(|first: char| first.is_ascii_uppercase())
            && text.bytes().all(|byte| byte.is_ascii_alphabetic())
            && text.bytes().any(|byte| byte.is_ascii_lowercase())
    });
    texts.map(str::to_owned).collect()
}

#[test]
fn the_reference_lists_the_reasons_of_the_code() {
    let page = read("docs/reference/conditions.md");
    let mut listed = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let reasons = row.split('|').nth(2).expect("a second column");
        // Without the code spans and the explanations in parentheses.
        let plain: String = reasons.split('`').step_by(2).collect();
        let outside = plain.split('(').map(|part| part.split_once(')').map_or(part, |(_, after)| after));
        for word in outside.flat_map(|part| part.split(|character: char| !character.is_ascii_alphabetic())) {
            if word.starts_with(|first: char| first.is_ascii_uppercase()) {
                listed.insert(word.to_owned());
            }
        }
    }
    assert!(listed.len() > 60, "{listed:?}");

    let sources = rust_sources("operator/src");
    let files =
        || sources.iter().map(|file| file.to_str().expect("a text")).filter(|file| !file.contains("tests"));
    let in_code: BTreeSet<_> = files().flat_map(camel_case_texts).collect();
    let stale: Vec<_> = listed.difference(&in_code).collect();
    assert!(stale.is_empty(), "no code gives the reasons {stale:?} of docs/reference/conditions.md");

    let humps = |text: &&String| text.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
    let status = files().filter(|file| file.starts_with("operator/src/auth_service/status"));
    let given: BTreeSet<_> = status.flat_map(camel_case_texts).collect();
    assert!(!given.is_empty());
    let missing: Vec<_> = given
        .iter()
        .filter(humps)
        .filter(|text| !page.contains(text.as_str()) && !OTHER_WORDS.contains(&text.as_str()))
        .collect();
    assert!(missing.is_empty(), "docs/reference/conditions.md does not list {missing:?}");
}

/// Whether the schema of the CRD has this field, such as `spec.tokens.algorithm`.
fn has_field(schema: &Value, field: &str) -> bool {
    let mut node = schema;
    for name in field.split('.') {
        while let Some(items) = node.get("items") {
            node = items;
        }
        match node.get("properties").and_then(|properties| properties.get(name)) {
            Some(property) => node = property,
            // A map of labels, of quantities and the like, or a part of another kind.
            None => {
                return node.get("additionalProperties").is_some()
                    || node.get("x-kubernetes-preserve-unknown-fields").is_some();
            }
        }
    }
    true
}

/// The fields of a manifest: `spec.a.b` for each value that is not an object.
fn fields(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                fields(member, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            for element in elements {
                fields(element, path, found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

/// The specs of AuthServices and AuthClients in the fenced YAML of a page.
fn yaml_fields(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for block in page.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        let Ok(manifest) = serde_yaml_ng::from_str::<Value>(block) else { continue };
        let is_other = manifest.get("kind").is_some_and(|kind| kind != "AuthService" && kind != "AuthClient");
        if let (false, Some(spec)) = (is_other, manifest.get("spec")) {
            fields(spec, "spec", &mut found);
        }
    }
    found
}

/// The fields that a page's code spans name: `spec.replicas: 0` names `spec.replicas`.
fn named_fields(page: &str) -> Vec<String> {
    let spans = page.split('`').skip(1).step_by(2);
    let names = spans.filter(|span| span.starts_with("spec.") || span.starts_with("status."));
    names
        .map(|span| {
            let end = span.find(|character: char| !(character.is_ascii_alphanumeric() || character == '.'));
            span[..end.unwrap_or(span.len())].trim_end_matches('.').to_owned()
        })
        .collect()
}

#[test]
fn the_documentation_names_fields_that_exist() {
    let definition = |file: &str| -> Value {
        let crd: Value = serde_yaml_ng::from_str(&read(file)).expect("YAML");
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    };
    let schema = &definition("crds/auth_service.yaml");
    let clients = &definition("crds/auth_client.yaml");
    assert!(has_field(schema, "spec.pod.resources.requests.cpu") && !has_field(schema, "spec.pod.nothing"));
    let (mut checked, mut unknown) = (0, Vec::new());
    let pages =
        repository_files().into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "md"));
    for page in pages.filter(|page| !page.ends_with("CHANGELOG.md")) {
        let text = read(page.to_str().expect("a text"));
        // Code spans are counted outside of fenced blocks, whose marks are backticks too.
        let prose: String = text.split("```").step_by(2).collect();
        for field in named_fields(&prose).into_iter().chain(yaml_fields(&text)) {
            checked += 1;
            if !has_field(schema, &field) && !has_field(clients, &field) {
                unknown.push(format!("{}: {field}", page.display()));
            }
        }
    }
    assert!(checked > 100, "only {checked} fields were found");
    assert!(unknown.is_empty(), "the CRDs do not have:\n{}", unknown.join("\n"));
}

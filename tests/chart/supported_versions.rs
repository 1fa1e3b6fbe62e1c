//! The oldest and the newest supported Kubernetes: the definition, the rendered objects of an AuthService and the chart
//! use nothing that one of them does not have. See docs/reference/supported-versions.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use latchkey_tests::chart::render;
use latchkey_tests::process::run_ok;
use latchkey_tests::programs;
use serde_json::{Map, Value};

/// The last patch release of the oldest supported minor version.
const OLDEST: &str = "v1.31.14";
/// The minor version after which the functions of a new definition must have been introduced: an API server accepts in
/// a new definition only what the previous version has, so that it can be downgraded.
const OLDEST_FUNCTIONS: u32 = 30;

fn read(path: &str) -> String {
    fs::read_to_string(programs::workspace().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The version of the API server that the tests run.
fn newest() -> String {
    let module = read("tests/cluster/tools/kubernetes/go.mod");
    let line =
        module.lines().find(|line| line.trim_start().starts_with("k8s.io/kubernetes ")).expect("a version");
    line.split_whitespace().nth(1).expect("a version").to_owned()
}

fn minor(version: &str) -> &str {
    version.trim_start_matches('v').rsplit_once('.').expect("a version").0
}

/// The functions of CEL that the rules of the definition may use, with the minor version of Kubernetes that introduced
/// them (`k8s.io/apiserver/pkg/cel/environment/base.go`); 0 if they are part of CEL.
const FUNCTIONS: [(&str, u32); 17] = [
    ("all", 0),
    ("duration", 0),
    ("exists", 0),
    ("exists_one", 0),
    ("filter", 0),
    ("getSeconds", 0),
    ("has", 0),
    ("isCIDR", 30),
    ("isGreaterThan", 28),
    ("isIP", 30),
    ("isQuantity", 28),
    ("isURL", 0),
    ("matches", 0),
    ("quantity", 28),
    ("size", 0),
    ("startsWith", 0),
    ("string", 0),
];

/// All rules of a definition.
fn rules(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name == "x-kubernetes-validations" {
                    let rules = member.as_array().into_iter().flatten();
                    found.extend(rules.filter_map(|rule| rule["rule"].as_str().map(str::to_owned)));
                    let newer =
                        member.as_array().into_iter().flatten().flat_map(|rule| {
                            rule.as_object().into_iter().flat_map(|rule| rule.keys().cloned())
                        });
                    for field in newer {
                        assert!(
                            ["rule", "message", "fieldPath", "reason"].contains(&field.as_str()),
                            "{field}"
                        );
                    }
                }
                rules(member, found);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| rules(element, found)),
        _ => {}
    }
}

/// The names before an opening parenthesis, outside strings.
fn called(rule: &str) -> BTreeSet<String> {
    let mut plain = String::new();
    let (mut inside, mut escaped) = (None, false);
    for character in rule.chars() {
        match inside {
            Some(_) if escaped => escaped = false,
            Some(_) if character == '\\' => escaped = true,
            Some(quote) if character == quote => inside = None,
            Some(_) => {}
            None if matches!(character, '\'' | '"') => inside = Some(character),
            None => plain.push(character),
        }
    }
    let mut names = BTreeSet::new();
    for (at, _) in plain.match_indices('(') {
        let before = &plain[..at];
        let start = before.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).map_or(0, |at| at + 1);
        if start < at {
            names.insert(before[start..].to_owned());
        }
    }
    names
}

#[test]
fn the_rules_of_the_definition_use_only_functions_of_the_oldest_version() {
    let mut found = Vec::new();
    for file in ["crds/auth_service.yaml", "crds/auth_client.yaml"] {
        let definition: Value = serde_yaml_ng::from_str(&read(file)).expect("YAML");
        rules(&definition, &mut found);
    }
    assert!(found.len() > 50, "{} rules", found.len());
    let known: BTreeMap<_, _> = FUNCTIONS.into_iter().collect();
    for rule in &found {
        for function in called(rule) {
            let introduced = known.get(function.as_str());
            let introduced =
                introduced.unwrap_or_else(|| panic!("{function} has no version; used in {rule}"));
            assert!(*introduced <= OLDEST_FUNCTIONS, "{function} needs 1.{introduced}, used in {rule}");
        }
    }
}

/// The definitions of an OpenAPI document, and their names by group, version and kind.
struct Schemas {
    definitions: Map<String, Value>,
    names: BTreeMap<(String, String, String), String>,
}

impl Schemas {
    fn of(version: &str) -> Self {
        let script = programs::workspace().join("tests/cluster/openapi");
        let path = run_ok(Command::new(script).arg(version));
        let text = fs::read_to_string(path.trim()).expect("an OpenAPI document");
        let mut document: Value = serde_json::from_str(&text).expect("JSON");
        let Value::Object(definitions) = document["definitions"].take() else { panic!("no definitions") };
        let mut names = BTreeMap::new();
        for (name, definition) in &definitions {
            let kinds = definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten();
            for kind in kinds {
                let text = |member: &str| kind[member].as_str().unwrap_or_default().to_owned();
                names.insert((text("group"), text("version"), text("kind")), name.clone());
            }
        }
        Self { definitions, names }
    }

    /// The fields of an object that the version does not have. `None` if it does not have the kind.
    fn unknown(&self, object: &Value) -> Option<Vec<String>> {
        let version = object["apiVersion"].as_str().expect("apiVersion");
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let kind = object["kind"].as_str().expect("kind");
        let name = self.names.get(&(group.to_owned(), version.to_owned(), kind.to_owned()))?;
        let mut unknown = Vec::new();
        self.walk(&self.definitions[name], object, kind, &mut unknown);
        Some(unknown)
    }

    fn walk(&self, schema: &Value, value: &Value, path: &str, unknown: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/definitions/")) {
            return self.walk(&self.definitions[name], value, path, unknown);
        }
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    let path = format!("{path}.{key}");
                    if let Some(schema) = schema["properties"].get(key) {
                        self.walk(schema, member, &path, unknown);
                    } else if schema["additionalProperties"].is_object() {
                        self.walk(&schema["additionalProperties"], member, &path, unknown);
                    } else if schema["properties"].is_object() {
                        unknown.push(path);
                    }
                }
            }
            Value::Array(elements) => {
                for element in elements {
                    self.walk(&schema["items"], element, path, unknown);
                }
            }
            _ => {}
        }
    }
}

/// Everything that the operator renders for a complete AuthService, from the snapshots of its tests.
fn rendered_by_the_operator() -> Vec<Value> {
    let folder = "operator/src/auth_service/render/snapshots";
    let prefix = "latchkey_operator__auth_service__render__tests__";
    let names = ["a_full_service", "the_smallest_service"];
    let objects = names.iter().flat_map(|name| {
        let text = read(&format!("{folder}/{prefix}{name}.snap"));
        let (_, content) =
            text.trim_start_matches("---").split_once("\n---\n").expect("the head of a snapshot");
        let all: Vec<Value> = serde_yaml_ng::from_str(content).expect("a list of objects");
        // Others are the names of objects that are deleted or kept.
        all.into_iter().filter(|object| object["apiVersion"].is_string()).collect::<Vec<_>>()
    });
    objects.collect()
}

#[test]
fn the_oldest_and_the_newest_version_have_every_field_of_the_objects() {
    let mut objects = rendered_by_the_operator();
    assert!(objects.len() > 20, "{} objects", objects.len());
    let everything = ["networkPolicy.enabled=true", "replicas=2", "watchNamespaces={a,b}"];
    objects.extend(render("latchkey", "latchkey-system", &everything));
    // Their definitions are not part of Kubernetes.
    let foreign =
        ["cert-manager.io", "monitoring.coreos.com", "gateway.networking.k8s.io", "route.openshift.io"];
    objects.retain(|object| {
        let version = object["apiVersion"].as_str().expect("apiVersion");
        !foreign.iter().any(|group| version.starts_with(group))
    });
    for version in [OLDEST, &newest()] {
        let schemas = Schemas::of(version);
        for object in &objects {
            let kind = &object["kind"];
            let unknown = schemas.unknown(object).unwrap_or_else(|| panic!("{version} has no {kind}"));
            assert!(unknown.is_empty(), "{version} has no {unknown:?}");
        }
        let mut misspelt = objects.iter().find(|object| object["kind"] == "Deployment").expect("one").clone();
        misspelt["spec"]["template"]["spec"]["hostname2"] = Value::from("x");
        assert_eq!(schemas.unknown(&misspelt).expect("the kind").len(), 1);
    }
}

#[test]
fn the_documentation_names_both_versions() {
    let page = read("docs/reference/supported-versions.md");
    let newest = newest();
    for version in [OLDEST, &newest] {
        assert!(page.contains(&format!("| {} |", minor(version))), "{version}");
    }
    let chart = read("charts/latchkey/Chart.yaml");
    assert!(chart.contains(&format!("kubeVersion: \">={}.0-0\"", minor(OLDEST))), "{chart}");
}

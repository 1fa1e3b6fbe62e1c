//! Renders the Helm chart.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::process::{run, run_ok};
use crate::programs;

/// The folder of the chart.
pub fn folder() -> PathBuf {
    programs::workspace().join("charts/latchkey")
}

/// Runs helm with these arguments, followed by the folder of the chart.
///
/// # Panics
/// When helm cannot be started.
pub fn helm(arguments: &[&str]) -> Output {
    run(Command::new(programs::test_bed("helm")).args(arguments).arg(folder()))
}

/// The objects that `helm template RELEASE --namespace NAMESPACE --set …` prints.
///
/// # Panics
/// When the chart does not render.
pub fn render(release: &str, namespace: &str, values: &[&str]) -> Vec<Value> {
    let mut command = Command::new(programs::test_bed("helm"));
    command.args(["template", release]).arg(folder()).args(["--namespace", namespace]);
    for value in values {
        command.args(["--set", value]);
    }
    parse(&run_ok(&mut command))
}

/// The objects of a stream of YAML documents.
///
/// # Panics
/// When a document is not YAML.
pub fn parse(text: &str) -> Vec<Value> {
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| serde::Deserialize::deserialize(document).expect("a YAML document"))
        .filter(|object: &Value| !object.is_null())
        .collect()
}

/// The objects of one kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

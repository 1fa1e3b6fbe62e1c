//! The list of images of a release: the script, the documentation and the code agree.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use latchkey_tests::chart::{of_kind, render};
use latchkey_tests::process::run_ok;
use latchkey_tests::programs;

fn listed(arguments: &[&str]) -> BTreeSet<String> {
    let script = programs::workspace().join("scripts/images");
    run_ok(Command::new(script).args(arguments)).lines().map(str::to_owned).collect()
}

/// The image of the operator's container, and those that it is given.
fn used(values: &[&str]) -> BTreeSet<String> {
    let objects = render("latchkey", "latchkey-system", values);
    let container = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().expect("arguments").iter().filter_map(|argument| {
        let (name, value) = argument.as_str()?.split_once('=')?;
        name.ends_with("-image").then(|| value.to_owned())
    });
    arguments.chain([container["image"].as_str().expect("an image").to_owned()]).collect()
}

#[test]
fn the_list_of_images_is_complete() {
    let images = listed(&[]);
    assert_eq!(images, used(&[]));
    assert_eq!(images.len(), 4);
    let page = programs::workspace().join("docs/how-to/use-a-private-registry.md");
    let page = fs::read_to_string(page).expect("the page");
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(image, _)| image.to_owned()))
        .collect();
    assert_eq!(documented, images);
    // The defaults of the program are those of the chart.
    let help = run_ok(Command::new(programs::latchkey_operator()).args(["run", "--help"]));
    for image in images.iter().filter(|image| !image.contains("latchkey-operator")) {
        assert!(help.contains(&format!("[default: {image}]")), "{image} in {help}");
    }
}

#[test]
fn the_list_for_a_registry_has_the_same_paths() {
    let registry = "registry.example.com/mirror";
    let images = listed(&[registry]);
    assert!(images.iter().all(|image| image.starts_with(&format!("{registry}/"))), "{images:?}");
    assert_eq!(images.len(), 4);
    let operator = used(&[&format!("image.registry={registry}")]);
    let own = images.iter().find(|image| image.contains("latchkey-operator")).expect("the operator");
    assert!(operator.contains(own), "{operator:?}");
}

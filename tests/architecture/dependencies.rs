//! What is linked into what, as Cargo resolves it for this platform.

use std::collections::BTreeSet;
use std::process::Command;

use latchkey_tests::process::run_ok;
use latchkey_tests::programs::workspace;

/// The names of all crates that `arguments` of `cargo tree` show.
fn tree(arguments: &[&str]) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace()).args(["tree", "--locked", "--prefix", "none", "--format", "{p}"]);
    let printed = run_ok(cargo.args(arguments));
    let names: BTreeSet<_> =
        printed.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert!(names.len() > 1, "cargo tree showed nothing: {printed}");
    names
}

/// What is linked into a package's library and binaries.
fn linked_into(package: &str) -> BTreeSet<String> {
    tree(&["--edges", "normal", "--package", package])
}

#[track_caller]
fn assert_absent(names: &BTreeSet<String>, whose: &str, forbidden: &[&str]) {
    for name in forbidden {
        assert!(!names.contains(*name), "{whose} links {name}: cargo tree --invert {name}");
    }
}

#[test]
fn the_server_knows_nothing_of_kubernetes() {
    let names = linked_into("latchkey-server");
    assert_absent(&names, "latchkey-server", &["kube", "kube-core", "kube-client", "k8s-openapi"]);
    assert_absent(&names, "latchkey-server", &["latchkey-crds", "latchkey-operator"]);
}

#[test]
fn the_operator_knows_nothing_of_the_servers_stores() {
    let names = linked_into("latchkey-operator");
    assert_absent(&names, "latchkey-operator", &["sqlx", "sqlx-core", "redis", "latchkey-server", "lettre"]);
}

#[test]
fn the_plugin_knows_neither_the_operator_nor_the_server() {
    let names = linked_into("latchkey-plugin");
    assert!(names.contains("latchkey-crds") && names.contains("latchkey-config"), "{names:?}");
    assert_absent(
        &names,
        "latchkey-plugin",
        &["latchkey-operator", "latchkey-server", "sqlx", "redis", "lettre", "axum"],
    );
}

/// It is linked into the applications of others.
#[test]
fn the_verifier_knows_nothing_of_the_other_crates() {
    let names = linked_into("latchkey-verifier");
    let ours: Vec<_> = names.iter().filter(|name| name.starts_with("latchkey-")).collect();
    assert_eq!(ours, ["latchkey-verifier"]);
    assert_absent(&names, "latchkey-verifier", &["axum", "sqlx", "redis", "kube", "rustls"]);
}

#[test]
fn the_contracts_and_the_protocol_do_no_io() {
    let forbidden = ["tokio", "mio", "async-std", "reqwest", "hyper", "sqlx", "redis", "kube", "socket2"];
    for package in ["latchkey-clients", "latchkey-config", "latchkey-protocol"] {
        assert_absent(&linked_into(package), package, &forbidden);
    }
}

/// Cargo refuses a workspace whose members are not all there, and builds without its configuration if that is missing.
#[test]
fn the_build_context_of_the_images_has_every_crate_and_the_configuration() {
    let read = |path: &str| std::fs::read_to_string(workspace().join(path)).expect("a readable file");
    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let members = manifest["workspace"]["members"].as_array().expect("members");
    let ignored = read(".dockerignore");
    let missing: Vec<_> = members
        .iter()
        .filter_map(|member| member.as_str()?.split('/').next())
        .chain([".cargo", "rust-toolchain.toml"])
        .filter(|folder| !ignored.lines().any(|line| line.strip_prefix('!') == Some(folder)))
        .collect();
    assert!(missing.is_empty(), ".dockerignore leaves out {missing:?}");
}

#[test]
fn the_tests_see_what_a_user_sees() {
    let names = linked_into("latchkey-tests");
    assert_absent(&names, "latchkey-tests", &["latchkey-server", "latchkey-operator", "latchkey-plugin"]);
}

#[test]
fn there_is_one_provider_of_cryptography() {
    let forbidden = ["ring", "openssl", "openssl-sys", "native-tls", "rust-crypto"];
    let everything = tree(&["--workspace", "--edges", "normal,build,dev", "--all-features"]);
    assert!(everything.contains("aws-lc-rs"), "{everything:?}");
    assert_absent(&everything, "the workspace", &forbidden);
}

/// Also of what only the tests use: `cargo deny` reads the same list and makes no difference either.
#[test]
fn every_licence_is_one_of_those_allowed() {
    let file = std::fs::read_to_string(workspace().join("deny.toml")).expect("deny.toml");
    let deny: toml::Table = file.parse().expect("deny.toml is TOML");
    let list = deny["licenses"]["allow"].as_array().expect("licenses.allow is a list");
    let allowed: Vec<_> = list
        .iter()
        .map(|name| spdx::Licensee::parse(name.as_str().expect("a string")).expect("an SPDX licence"))
        .collect();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace()).args(["tree", "--locked", "--workspace", "--edges", "normal,build,dev"]);
    let printed = run_ok(cargo.args(["--all-features", "--prefix", "none", "--format", "{l}\t{p}"]));
    let mut refused = BTreeSet::new();
    for line in printed.lines().filter(|line| !line.is_empty() && !line.ends_with("(*)")) {
        let (licence, package) = line.split_once('\t').expect("a licence and a package");
        let known = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX);
        let is_allowed = |wanted: &spdx::LicenseReq| allowed.iter().any(|one| one.satisfies(wanted));
        if !known.is_ok_and(|expression| expression.evaluate(is_allowed)) {
            refused.insert(format!("{package}: {licence}"));
        }
    }
    assert!(refused.is_empty(), "not allowed by deny.toml: {refused:#?}");
}

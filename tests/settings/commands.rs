//! `keygen`, `openapi` and the command line itself.

use std::collections::BTreeSet;

use latchkey_tests::key_set;
use latchkey_tests::server::{Variables, run_command};
use serde_json::Value;

fn members(key: &Value) -> BTreeSet<&str> {
    key.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn keygen_generates_a_private_key_of_each_algorithm() {
    let common = ["alg", "kid", "kty", "latchkey_phase", "use"];
    for (algorithm, kind, curve, own) in [
        ("ES256", "EC", Some("P-256"), &["crv", "d", "x", "y"][..]),
        ("EdDSA", "OKP", Some("Ed25519"), &["crv", "d", "x"]),
        ("RS256", "RSA", None, &["d", "dp", "dq", "e", "n", "p", "q", "qi"]),
    ] {
        let key = key_set::generate(algorithm);
        assert_eq!(members(&key), common.iter().chain(own).copied().collect(), "{algorithm}");
        assert_eq!(key["alg"], algorithm);
        assert_eq!(key["kty"], kind);
        assert_eq!(key.get("crv").and_then(Value::as_str), curve);
        assert_eq!(key["use"], "sig");
        assert_eq!(key["latchkey_phase"], "active");
        let another = key_set::generate(algorithm);
        assert_ne!(key["kid"], another["kid"]);
        assert_ne!(key["d"], another["d"]);
    }
}

#[test]
fn keygen_generates_rsa_keys_of_at_least_2048_bits() {
    let modulus = key_set::generate("RS256")["n"].as_str().unwrap().len();
    assert!(modulus >= 2048 / 6, "{modulus} base64url digits");
}

#[test]
fn keygen_refuses_other_algorithms() {
    for algorithm in ["HS256", "none", "ES512", ""] {
        let output = run_command(&["keygen", "--algorithm", algorithm], &Variables::new());
        assert!(!output.status.success(), "{algorithm}");
        assert!(output.stdout.is_empty(), "{algorithm}");
    }
}

#[test]
fn openapi_prints_a_document_of_version_3_1_with_every_path() {
    let output = run_command(&["openapi"], &Variables::new());
    assert!(output.status.success());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let paths: BTreeSet<_> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    for path in [
        "/api/v1/auth/login",
        "/api/v1/auth/token",
        "/api/v1/auth/refresh",
        "/api/v1/auth/me",
        "/api/v1/auth/password-recovery/{email}",
        "/api/v1/auth/reset-password",
        "/api/v1/auth/logout",
        "/api/v1/users",
        "/.well-known/jwks.json",
    ] {
        assert!(paths.contains(path), "{path} is missing: {paths:?}");
    }
    assert_references_resolve(&document, &document);
}

/// Asserts that the target of every `$ref` exists.
fn assert_references_resolve(document: &Value, part: &Value) {
    match part {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                let pointer = reference.strip_prefix('#').expect("a reference within the document");
                assert!(document.pointer(pointer).is_some(), "the target of {reference} does not exist");
            }
            members.values().for_each(|value| assert_references_resolve(document, value));
        }
        Value::Array(items) => items.iter().for_each(|value| assert_references_resolve(document, value)),
        _ => {}
    }
}

#[test]
fn help_lists_every_command() {
    let help = run_command(&["--help"], &Variables::new());
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    for command in ["serve", "migrate", "keygen", "openapi", "check", "users", "superuser", "sessions"] {
        assert!(text.contains(command), "{command} is missing: {text}");
    }
    assert!(run_command(&["--version"], &Variables::new()).status.success());
    assert!(!run_command(&["nonsense"], &Variables::new()).status.success());
}

//! The checker finds each forbidden step in a forged history.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::Method;
use serde_json::{Value, json};

use super::{Rule, check, encoded};
use crate::call::Call;
use crate::history::{Entry, Permit, Version};
use crate::proxy::Write;

/// Each version is newer than the one before it in its history.
static NEXT: AtomicU64 = AtomicU64::new(1);

fn version(kind: &str, name: &str, uid: &str, mut object: Value) -> Entry {
    object["metadata"]["uid"] = json!(uid);
    if object["metadata"]["ownerReferences"].is_null() {
        object["metadata"]["ownerReferences"] =
            json!([{"kind": "AuthService", "name": "auth", "uid": "owner"}]);
    }
    Entry::Object(Version {
        kind: kind.to_owned(),
        name: name.to_owned(),
        number: NEXT.fetch_add(1, Ordering::Relaxed),
        deleted: false,
        object: Arc::new(object),
    })
}

/// Keys, each with its phase and its private part.
fn keys(uid: &str, keys: &[(&str, &str, &str)]) -> Entry {
    let keys: Vec<Value> = keys
        .iter()
        .map(|(kid, phase, d)| json!({"kid": kid, "alg": "ES256", "d": d, "latchkey_phase": phase}))
        .collect();
    version(
        "Secret",
        "auth-jwt-keys",
        uid,
        json!({"data": {"keys.json": encoded(&json!({"keys": keys}).to_string())}}),
    )
}

fn loaded(replica: usize, kids: &[&str]) -> Entry {
    Entry::Loaded { replica, kids: kids.iter().map(|kid| (*kid).to_owned()).collect() }
}

fn pods(kind: &str, name: &str, image: &str, database: &str) -> Value {
    let conditions = if kind == "Job" { json!([{"type": "Complete", "status": "True"}]) } else { json!([]) };
    json!({
        "metadata": {"name": name, "annotations": {"latchkey.dev/database": database}},
        "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
        "status": {"conditions": conditions},
    })
}

fn job(image: &str, database: &str) -> Entry {
    version("Job", "auth-migrate-1", "j", pods("Job", "auth-migrate-1", image, database))
}

fn deployment(image: &str, database: &str) -> Entry {
    version("Deployment", "auth", "d", pods("Deployment", "auth", image, database))
}

fn password(name: &str, uid: &str, password: &str) -> Entry {
    version("Secret", name, uid, json!({"data": {"password": password}}))
}

fn noted(uid: &str, annotations: &Value) -> Entry {
    version("Service", "auth", uid, json!({"metadata": {"annotations": annotations}}))
}

fn write(path: &str) -> Write {
    Write { call: Call::of(&Method::PATCH, path, ""), body: Value::Null, code: 200 }
}

fn rules(entries: &[Entry], writes: &[Write]) -> Vec<Rule> {
    check(entries, writes).into_iter().map(|violation| violation.rule).collect()
}

#[test]
fn an_orderly_history_breaks_no_rule() {
    let entries = [
        keys("k", &[("a", "active", "1")]),
        loaded(0, &["a"]),
        loaded(1, &["a"]),
        password("auth-postgres", "p", "x"),
        job("server:1", "db"),
        deployment("server:1", "db"),
        keys("k", &[("a", "active", "1"), ("b", "published", "2")]),
        loaded(0, &["a", "b"]),
        loaded(1, &["a", "b"]),
        keys("k", &[("a", "retiring", "1"), ("b", "active", "2")]),
        Entry::Permits(Permit::Revocation),
        keys("k", &[("c", "active", "3")]),
        job("server:2", "db"),
        deployment("server:2", "db"),
        password("auth-postgres", "p", "x"),
        noted("s", &json!({"example.com/note": "1"})),
        noted("s", &json!({"example.com/note": "1", "latchkey.dev/rendered": "2"})),
    ];
    assert_eq!(check(&entries, &[write("/api/v1/namespaces/a/secrets/auth-jwt-keys")]), []);
}

#[test]
fn a_key_that_signs_too_early_is_found() {
    let published = keys("k", &[("a", "active", "1"), ("b", "published", "2")]);
    let signs = keys("k", &[("a", "retiring", "1"), ("b", "active", "2")]);
    let both = ["a", "b"];
    let late = [published.clone(), loaded(0, &both), loaded(1, &["a"]), signs.clone(), loaded(1, &both)];
    assert_eq!(rules(&late, &[]), [Rule::SignsBeforePublished]);
    let unpublished = [keys("k", &[("a", "active", "1")]), loaded(0, &both), loaded(1, &both), signs];
    assert_eq!(rules(&unpublished, &[]), [Rule::SignsBeforePublished]);
}

#[test]
fn keys_that_change_are_found() {
    let first = keys("k", &[("a", "active", "1")]);
    assert_eq!(rules(&[first.clone(), keys("k", &[("b", "active", "2")])], &[]), [Rule::KeysChanged]);
    assert_eq!(rules(&[first.clone(), keys("k", &[("a", "active", "2")])], &[]), [Rule::KeysChanged]);
    // One request revokes once.
    let twice = [
        first.clone(),
        Entry::Permits(Permit::Revocation),
        keys("k", &[("b", "active", "2")]),
        keys("k", &[("c", "active", "3")]),
    ];
    assert_eq!(rules(&twice, &[]), [Rule::KeysChanged]);
    let again = [first, keys("other", &[("b", "active", "2")])];
    assert_eq!(rules(&again, &[]), [Rule::Replaced, Rule::KeysChanged]);
}

#[test]
fn other_generated_credentials_are_found() {
    for name in ["auth-postgres", "auth-redis"] {
        assert_eq!(
            rules(&[password(name, "p", "x"), password(name, "p", "y")], &[]),
            [Rule::CredentialsChanged]
        );
    }
}

#[test]
fn a_rollout_before_its_migration_is_found() {
    assert_eq!(rules(&[deployment("server:1", "db")], &[]), [Rule::BeforeMigration]);
    let image = [
        job("server:1", "db"),
        deployment("server:1", "db"),
        deployment("server:2", "db"),
        job("server:2", "db"),
    ];
    assert_eq!(rules(&image, &[]), [Rule::BeforeMigration]);
    let database = [job("server:1", "db"), deployment("server:1", "db"), deployment("server:1", "other")];
    assert_eq!(rules(&database, &[]), [Rule::BeforeMigration]);
}

#[test]
fn a_change_of_a_foreign_object_is_found() {
    let permit = Permit::ForeignWrite { kind: "Secret".to_owned(), name: "theirs".to_owned() };
    let theirs = |data: &str| {
        version("Secret", "theirs", "t", json!({"metadata": {"ownerReferences": []}, "data": {"a": data}}))
    };
    let own = [Entry::Permits(permit.clone()), theirs("1"), Entry::Permits(permit.clone()), theirs("2")];
    assert_eq!(rules(&own, &[]), []);
    assert_eq!(
        rules(&[Entry::Permits(permit.clone()), theirs("1"), theirs("2")], &[]),
        [Rule::ForeignObject]
    );
    let written = [write("/api/v1/namespaces/a/secrets/theirs")];
    assert_eq!(rules(&[Entry::Permits(permit), theirs("1")], &written), [Rule::ForeignObject]);
}

#[test]
fn a_removed_foreign_field_is_found() {
    let entries = [noted("s", &json!({"example.com/note": "1"})), noted("s", &json!({}))];
    assert_eq!(rules(&entries, &[]), [Rule::ForeignField]);
}

#[test]
fn an_object_that_is_replaced_is_found() {
    assert_eq!(rules(&[noted("s", &json!({})), noted("t", &json!({}))], &[]), [Rule::Replaced]);
    let permit = Permit::Replacement { kind: "Service".to_owned(), name: "auth".to_owned() };
    let permitted = [noted("s", &json!({})), Entry::Permits(permit), noted("t", &json!({}))];
    assert_eq!(rules(&permitted, &[]), []);
}

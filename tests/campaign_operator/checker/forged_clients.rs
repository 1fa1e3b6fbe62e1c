//! The checker finds each forbidden step with AuthClients in a forged history.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latchkey_clients::{Client, Registry, SecretDigest};
use serde_json::{Value, json};

use super::clients::check;
use super::{Rule, encoded};
use crate::history::{Entry, Permit, Version};

/// A history whose versions are numbered.
#[derive(Default)]
struct Forged {
    entries: Vec<Entry>,
    number: u64,
}

fn credential(id: u8, secret: &str) -> Value {
    let bytes = digest(&SHA256, secret.as_bytes()).as_ref().try_into().expect("32 bytes");
    let sha256 = SecretDigest::new(bytes);
    json!({"id": format!("00000000-0000-0000-0000-0000000000{id:02}"), "kind": "secret", "sha256": sha256})
}

fn client(name: &str, credentials: &[Value]) -> Client {
    serde_json::from_value(json!({
        "client_id": format!("plan.{name}"), "type": "confidential", "grant_types": ["client_credentials"],
        "scopes": [], "audiences": [], "access_token_ttl": 600, "refresh_token_ttl": 28_800,
        "credentials": credentials,
    }))
    .expect("a client")
}

impl Forged {
    /// An AuthClient with its Secret, which both replicas have loaded.
    fn new() -> Self {
        let mut forged = Self::default();
        forged.auth_client("kept", None);
        forged.secret("kept", "one");
        forged.registry(1, &[client("kept", &[credential(1, "one")])]);
        forged.loaded(1);
        forged
    }

    fn version(&mut self, kind: &str, name: &str, deleted: bool, mut object: Value) {
        self.number += 1;
        object["metadata"]["namespace"] = json!("plan");
        let object = Arc::new(object);
        let (kind, name, number) = (kind.to_owned(), name.to_owned(), self.number);
        self.entries.push(Entry::Object(Version { kind, name, number, deleted, object }));
    }

    /// A version of an AuthClient, which is being deleted since a time.
    fn auth_client(&mut self, name: &str, deleting: Option<&str>) {
        let metadata = json!({"uid": name, "deletionTimestamp": deleting});
        self.version("AuthClient", name, false, json!({ "metadata": metadata }));
    }

    fn gone(&mut self, name: &str) {
        self.version("AuthClient", name, true, json!({"metadata": {"uid": name}}));
    }

    fn secret(&mut self, client: &str, secret: &str) {
        let owners = json!([{"kind": "AuthClient", "uid": client}]);
        let object = json!({
            "metadata": {"uid": "s", "ownerReferences": owners}, "data": {"client-secret": encoded(secret)},
        });
        self.version("Secret", &format!("{client}-oauth"), false, object);
    }

    fn registry(&mut self, serial: u64, clients: &[Client]) {
        let registry = Registry::new(serial, clients.to_vec()).expect("valid clients").to_gzip();
        let data = json!({"clients.json.gz": STANDARD.encode(registry)});
        self.version("Secret", "auth-clients", false, json!({"metadata": {"uid": "r"}, "data": data}));
    }

    fn loaded(&mut self, serial: u64) {
        self.entries.extend([0, 1].map(|replica| Entry::LoadedClients { replica, serial }));
    }

    fn rotation(&mut self) {
        self.entries.push(Entry::Permits(Permit::ClientRotation { name: "kept-oauth".to_owned() }));
    }

    fn rules(&self) -> Vec<Rule> {
        check(&self.entries).into_iter().map(|violation| violation.rule).collect()
    }
}

#[test]
fn an_orderly_history_breaks_no_rule() {
    let mut forged = Forged::new();
    forged.rotation();
    forged.registry(2, &[client("kept", &[credential(1, "one"), credential(2, "two")])]);
    forged.loaded(2);
    forged.secret("kept", "two");
    forged.registry(3, &[client("kept", &[credential(2, "two"), credential(1, "one")])]);
    forged.auth_client("kept", Some("2026-01-01T00:00:00Z"));
    forged.registry(4, &[]);
    forged.loaded(4);
    forged.gone("kept");
    assert_eq!(forged.rules(), []);
}

#[test]
fn a_client_secret_that_changes_is_found() {
    let mut forged = Forged::new();
    forged.secret("kept", "two");
    assert_eq!(forged.rules(), [Rule::ClientSecretChanged]);
    // One request permits one change.
    let mut twice = Forged::new();
    twice.rotation();
    twice.registry(
        2,
        &[client("kept", &[credential(1, "one"), credential(2, "two"), credential(3, "three")])],
    );
    twice.loaded(2);
    twice.secret("kept", "two");
    assert_eq!(twice.rules(), []);
    twice.secret("kept", "three");
    assert_eq!(twice.rules(), [Rule::ClientSecretChanged]);
    // The plan deletes the Secret.
    let mut replaced = Forged::new();
    let permit = Permit::Replacement { kind: "Secret".to_owned(), name: "kept-oauth".to_owned() };
    replaced.entries.push(Entry::Permits(permit));
    replaced.secret("kept", "two");
    assert_eq!(replaced.rules(), []);
}

#[test]
fn a_rotated_secret_that_comes_too_early_is_found() {
    let both = [client("kept", &[credential(1, "one"), credential(2, "two")])];
    let mut unknown = Forged::new();
    unknown.rotation();
    unknown.secret("kept", "two");
    assert_eq!(unknown.rules(), [Rule::ClientSecretTooEarly]);
    let mut early = Forged::new();
    early.rotation();
    early.registry(2, &both);
    early.entries.push(Entry::LoadedClients { replica: 0, serial: 2 });
    early.secret("kept", "two");
    assert_eq!(early.rules(), [Rule::ClientSecretTooEarly]);
}

#[test]
fn a_client_that_leaves_the_registry_is_found() {
    let mut forged = Forged::new();
    forged.registry(2, &[]);
    assert_eq!(forged.rules(), [Rule::ClientLost]);
    let mut damaged = Forged::new();
    let data = json!({"clients.json.gz": encoded("damaged")});
    damaged.version("Secret", "auth-clients", false, json!({ "data": data }));
    assert_eq!(damaged.rules(), [Rule::ClientLost]);
}

#[test]
fn a_serial_and_a_credential_that_are_used_again_are_found() {
    for serial in [0, 1] {
        let mut forged = Forged::new();
        forged.registry(serial, &[client("kept", &[credential(1, "one")]), client("more", &[])]);
        assert_eq!(forged.rules(), [Rule::SerialReused], "{serial}");
    }
    let mut forged = Forged::new();
    forged.registry(2, &[client("kept", &[credential(1, "two")])]);
    assert_eq!(forged.rules(), [Rule::CredentialReused]);
}

#[test]
fn a_deletion_that_ends_too_early_is_found() {
    let mut registered = Forged::new();
    registered.auth_client("kept", Some("2026-01-01T00:00:00Z"));
    registered.gone("kept");
    assert_eq!(registered.rules(), [Rule::ClientGoneTooEarly]);
    let mut loaded = Forged::new();
    loaded.auth_client("kept", Some("2026-01-01T00:00:00Z"));
    loaded.registry(2, &[]);
    loaded.entries.push(Entry::LoadedClients { replica: 1, serial: 2 });
    loaded.gone("kept");
    assert_eq!(loaded.rules(), [Rule::ClientGoneTooEarly]);
}

#[test]
fn a_deleted_client_that_comes_back_is_found() {
    let deleted = || {
        let mut forged = Forged::new();
        forged.auth_client("kept", Some("2026-01-01T00:00:00Z"));
        forged.registry(2, &[]);
        forged.loaded(2);
        forged.gone("kept");
        let object =
            json!({"metadata": {"uid": "s", "ownerReferences": [{"kind": "AuthClient", "uid": "kept"}]}});
        forged.version("Secret", "kept-oauth", true, object);
        forged
    };
    let mut registered = deleted();
    registered.registry(3, &[client("kept", &[credential(2, "two")])]);
    assert_eq!(registered.rules(), [Rule::ClientRevived]);
    let mut secret = deleted();
    secret.secret("kept", "two");
    assert_eq!(secret.rules(), [Rule::ClientRevived]);
    // Another AuthClient of that name may have them.
    let mut again = deleted();
    again.version("AuthClient", "kept", false, json!({"metadata": {"uid": "other"}}));
    again.registry(3, &[client("kept", &[credential(2, "two")])]);
    assert_eq!(again.rules(), []);
}

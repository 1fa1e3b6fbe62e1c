//! What a plan does with an AuthService, while its fault occurs.

use std::time::Duration;

use kube::api::DeleteParams;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::history::{Entry, History, Permit};
use crate::replicas::{client_condition, condition, phases};
use crate::world::Place;

/// The name of the AuthService in every plan.
pub const NAME: &str = "auth";

/// The deadline of a step without a fault, while other plans keep the machine busy.
const WITHIN: Duration = Duration::from_mins(2);

/// A scenario: a base that is reached without a fault, and an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scenario {
    Create,
    Scale,
    Rotate,
    Revoke,
    Upgrade,
    Downgrade,
    Credentials,
    ToExternal,
    Pause,
    Resume,
    Recreate,
    Expose,
    Conceal,
    /// An AuthClient is created, and another one whose Secret would be a foreign one.
    AddClient,
    /// The secret of an AuthClient is rotated.
    RotateClient,
    /// The scopes of an AuthClient are changed.
    EditClient,
    /// An AuthClient is deleted.
    DeleteClient,
    /// Nothing is done to the AuthService.
    Still,
    /// Nothing is done to the AuthService and to its AuthClient.
    StillWithClient,
}

impl Scenario {
    pub const ALL: [Self; 17] = [
        Self::Create,
        Self::Scale,
        Self::Rotate,
        Self::Revoke,
        Self::Upgrade,
        Self::Downgrade,
        Self::Credentials,
        Self::ToExternal,
        Self::Pause,
        Self::Resume,
        Self::Recreate,
        Self::Expose,
        Self::Conceal,
        Self::AddClient,
        Self::RotateClient,
        Self::EditClient,
        Self::DeleteClient,
    ];

    /// Whether AuthClients take part.
    pub fn has_clients(self) -> bool {
        matches!(
            self,
            Self::AddClient
                | Self::RotateClient
                | Self::EditClient
                | Self::DeleteClient
                | Self::StillWithClient
        )
    }

    /// Whether nothing is done.
    pub fn is_still(self) -> bool {
        matches!(self, Self::Still | Self::StillWithClient)
    }

    /// The number of writes of the operator from the action on in an undisturbed run, Events included.
    pub fn writes(self) -> usize {
        match self {
            Self::Create | Self::Recreate => 27,
            Self::ToExternal => 20,
            Self::Rotate | Self::AddClient => 14,
            Self::Upgrade | Self::Downgrade => 13,
            Self::Expose | Self::Conceal => 10,
            Self::Credentials | Self::Resume | Self::Revoke | Self::EditClient => 8,
            Self::RotateClient => 12,
            Self::DeleteClient => 6,
            Self::Scale => 5,
            Self::Pause => 3,
            Self::Still | Self::StillWithClient => 0,
        }
    }

    /// The spec before the action; the AuthService does not exist before if there is none.
    pub fn base(self) -> Option<Value> {
        let mut spec = usual();
        match self {
            Self::Create => return None,
            Self::Credentials => spec = external(spec),
            Self::Upgrade => spec["image"] = json!({"repository": "example.com/server", "tag": "1.0.0"}),
            Self::Downgrade => spec["image"] = json!({"repository": "example.com/server", "tag": "1.1.0"}),
            Self::Conceal | Self::Still => spec = exposed(spec),
            _ => {}
        }
        Some(spec)
    }

    /// The spec after the action.
    fn target(self) -> Value {
        let mut spec = self.base().unwrap_or_else(usual);
        match self {
            Self::Scale => spec["replicas"] = json!(3),
            Self::Upgrade => spec["image"]["tag"] = json!("1.1.0"),
            Self::Downgrade => spec["image"]["tag"] = json!("1.0.0"),
            Self::ToExternal => spec = external(spec),
            Self::Pause => {
                spec["paused"] = json!(true);
                spec["logging"] = json!({"level": "debug"});
            }
            Self::Resume => spec["logging"] = json!({"level": "debug"}),
            Self::Expose => spec = exposed(spec),
            Self::Conceal => spec = usual(),
            _ => {}
        }
        spec
    }

    /// Writes what the spec refers to, and objects that the operator must not touch.
    pub async fn prepare(self, place: &Place<'_>) {
        let credentials = json!({"username": "mailer", "password": "hunter22"});
        place.write_secret("smtp", &credentials).await;
        place.write_secret("database", &json!({"url": "postgres://auth:first@db.example.com/auth"})).await;
        place.write_secret("redis", &json!({"url": "redis://cache.example.com"})).await;
        place.write_secret("auth-theirs", &json!({"theirs": "x"})).await;
        if self.has_clients() {
            place.write_secret(FOREIGN_SECRET, &json!({"client-secret": "theirs"})).await;
        }
    }

    /// The part of the action that comes after the base and before the fault.
    pub async fn approach(self, place: &Place<'_>) {
        if self == Self::Resume {
            let mut spec = self.target();
            spec["paused"] = json!(true);
            place.apply(&spec).await;
            wait_for(&place.history, "a pause", |history| {
                condition(history, "Paused").is_some_and(|found| found["status"] == "True")
            })
            .await;
        }
        if self.has_clients() {
            for name in [KEPT, "other"] {
                place.apply_client(name, &client(&[])).await;
            }
            wait_for(&place.history, "the AuthClients of the base", |history| {
                is_ready(history, KEPT) && is_ready(history, "other") && is_settled(history)
            })
            .await;
        }
    }

    /// The action.
    pub async fn act(self, place: &Place<'_>) {
        match self {
            Self::Rotate => place.annotate("latchkey.dev/rotate-keys", "1").await,
            Self::Revoke => {
                place.history.add(Entry::Permits(Permit::Revocation));
                place.annotate("latchkey.dev/revoke-keys", "1").await;
            }
            Self::Credentials => {
                let url = json!({"url": "postgres://auth:second@db.example.com/auth"});
                place.write_secret("database", &url).await;
            }
            Self::Recreate => {
                let deleted = place.api("AuthService").delete(NAME, &DeleteParams::background()).await;
                deleted.expect("the AuthService is deleted");
                wait_for(&place.history, "the deletion", |history| {
                    history.object("AuthService", NAME).is_none()
                })
                .await;
                place.apply(&self.target()).await;
            }
            Self::AddClient => {
                let mut blocked = client(&[]);
                blocked["secret"] = json!({"name": FOREIGN_SECRET});
                place.apply_client(BLOCKED, &blocked).await;
                place.apply_client(ADDED, &client(&["orders:read"])).await;
            }
            Self::RotateClient => {
                place.history.add(Entry::Permits(Permit::ClientRotation { name: secret_of(KEPT) }));
                let annotations = json!({"metadata": {"annotations": {ROTATE: "1"}}});
                let annotated = place.merge("AuthClient", KEPT, &annotations).await;
                annotated.expect("the API server accepts the annotation");
            }
            Self::EditClient => place.apply_client(KEPT, &client(&["orders:read"])).await,
            Self::DeleteClient => {
                let deleted = place.api("AuthClient").delete(KEPT, &DeleteParams::background()).await;
                deleted.expect("the AuthClient is deleted");
            }
            Self::Still | Self::StillWithClient => {}
            _ => place.apply(&self.target()).await,
        }
    }

    /// Whether an undisturbed operator has done everything.
    pub fn is_done(self, history: &History) -> bool {
        let holds = |kind: &str, status: &str| {
            condition(history, kind).is_some_and(|found| found["status"] == status)
        };
        let settled = holds("Ready", "True") && holds("Progressing", "False");
        let revision = || {
            let deployment = history.object("Deployment", NAME)?;
            deployment
                .pointer("/metadata/annotations/deployment.kubernetes.io~1revision")?
                .as_str()
                .map(str::to_owned)
        };
        match self {
            Self::Pause => holds("Paused", "True") && holds("Ready", "False"),
            Self::Rotate => {
                settled && phases(history) == ["retiring", "active"] && holds("KeysReady", "True")
            }
            Self::Revoke => settled && holds("KeysReady", "True") && revoked(history),
            Self::Upgrade | Self::Downgrade | Self::Credentials | Self::ToExternal | Self::Resume => {
                settled && revision().as_deref() == Some("2")
            }
            Self::Create | Self::Scale | Self::Recreate | Self::Expose | Self::Conceal | Self::Still => {
                settled
            }
            Self::AddClient => {
                settled
                    && is_ready(history, ADDED)
                    && client_condition(history, BLOCKED, "Ready")
                        .is_some_and(|found| found["reason"] == "NameConflict")
            }
            Self::RotateClient => {
                let object = history.object("AuthClient", KEPT);
                let is_requested =
                    object.is_some_and(|object| object["metadata"]["annotations"][ROTATE] == "1");
                settled && is_ready(history, KEPT) && !is_requested
            }
            Self::EditClient | Self::StillWithClient => settled && is_ready(history, KEPT),
            Self::DeleteClient => {
                settled
                    && history.object("AuthClient", KEPT).is_none()
                    && history.object("Secret", &secret_of(KEPT)).is_none()
            }
        }
    }
}

/// The AuthClient of the base.
pub const KEPT: &str = "kept";
/// The AuthClient that is created.
const ADDED: &str = "added";
/// The AuthClient whose Secret is foreign.
const BLOCKED: &str = "blocked";
/// A Secret that the operator must not touch.
const FOREIGN_SECRET: &str = "theirs-oauth";
const ROTATE: &str = "latchkey.dev/rotate-secret";

/// The Secret of an AuthClient.
pub fn secret_of(client: &str) -> String {
    format!("{client}-oauth")
}

fn client(scopes: &[&str]) -> Value {
    json!({"authServiceRef": {"name": NAME}, "scopes": scopes})
}

fn is_ready(history: &History, client: &str) -> bool {
    client_condition(history, client, "Ready").is_some_and(|found| found["status"] == "True")
}

fn is_settled(history: &History) -> bool {
    let holds =
        |kind: &str, status: &str| condition(history, kind).is_some_and(|found| found["status"] == status);
    holds("Ready", "True") && holds("Progressing", "False")
}

fn revoked(history: &History) -> bool {
    let object = history.object("AuthService", NAME);
    object.is_some_and(|object| {
        object.pointer("/status/keyRequests").is_some_and(|handled| handled.to_string().contains("revoke"))
    })
}

/// Two replicas with embedded stores and e-mail, and the shortest cache time of verifiers.
pub fn usual() -> Value {
    json!({
        "issuer": "https://auth.example.com",
        "replicas": 2,
        "database": {"embedded": {"storage": "1Gi"}},
        "tokens": {"keyRotation": {"jwksCacheTime": "1s"}},
        "email": {
            "enabled": true,
            "from": {"address": "no-reply@example.com"},
            "smtp": {"host": "smtp.example.com", "credentialsSecretRef": {"name": "smtp"}},
        },
    })
}

fn external(mut spec: Value) -> Value {
    spec["database"] = json!({"urlSecretRef": {"name": "database"}});
    spec["redis"] = json!({"urlSecretRef": {"name": "redis"}});
    spec
}

fn exposed(mut spec: Value) -> Value {
    spec["networkPolicy"] = json!({"enabled": true, "allowFrom": [{"namespaceSelector": {}}]});
    spec["exposure"] = json!({"ingress": {"host": "auth.example.com", "tls": {"certificate": {"issuerRef": {"name": "ca"}}}}});
    spec
}

/// Waits until a check of the history succeeds.
pub async fn wait_for(history: &History, what: &str, check: impl Fn(&History) -> bool) {
    wait::until_within(WITHIN, Duration::from_millis(20), what, async || {
        let seen = history.object("AuthService", NAME).map(|object| object["status"]["conditions"].clone());
        wait::check(check(history), seen)
    })
    .await;
}

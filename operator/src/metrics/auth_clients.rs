//! The AuthClients by the reason of their condition `Ready`.

use std::collections::BTreeMap;

use latchkey_crds::conditions::READY;
use prometheus::{IntGaugeVec, Opts, Registry};

use crate::cluster::auth_clients::AuthClients;
use crate::cluster::observed_client::ObservedClient;

/// The reason of an AuthClient that has no condition yet, or one of another release.
const OTHER: &str = "Other";

/// Every value of the label.
const REASONS: [&str; 19] = [
    "Available",
    "NotAllowed",
    "Invalid",
    "ClientIdTaken",
    "TooManyClients",
    "SecretMissing",
    "SecretKeyMissing",
    "SecretInvalid",
    "NameConflict",
    "ApplyRefused",
    "Contested",
    "AuthServiceNotReady",
    "AuthServicePaused",
    "Pending",
    "NoReplicas",
    "NotLoaded",
    "ReplicasOutdated",
    "Deleting",
    OTHER,
];

/// The gauge, with every value of the label.
pub(super) fn register(registry: &Registry) -> Result<IntGaugeVec, prometheus::Error> {
    let clients = IntGaugeVec::new(
        Opts::new("latchkey_operator_auth_clients", "AuthClients by the reason of their condition Ready."),
        &["reason"],
    )?;
    registry.register(Box::new(clients.clone()))?;
    for reason in REASONS {
        clients.with_label_values(&[reason]);
    }
    Ok(clients)
}

/// The number of AuthClients for each reason.
pub(super) fn by_reason(auth_clients: &AuthClients) -> BTreeMap<&'static str, usize> {
    let mut numbers: BTreeMap<_, _> = REASONS.into_iter().map(|reason| (reason, 0)).collect();
    for client in auth_clients.select(|_| true) {
        *numbers.entry(reason_of(&client)).or_default() += 1;
    }
    numbers
}

fn reason_of(client: &ObservedClient) -> &'static str {
    let conditions = client.salvaged().status.iter().flat_map(|status| &status.conditions);
    let ready = conditions.into_iter().find(|condition| condition.type_ == READY);
    let known = |reason: &str| REASONS.into_iter().find(|known| *known == reason);
    ready.and_then(|ready| known(&ready.reason)).unwrap_or(OTHER)
}

//! The AuthClients by the reason of their condition `Ready`, and by how much the rotation of a secret is overdue.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use latchkey_crds::AuthClient;
use latchkey_crds::auth_service::parse_seconds;
use latchkey_crds::conditions::{ACCEPTED, READY};
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

use crate::cluster::auth_clients::AuthClients;
use crate::cluster::observed_client::ObservedClient;

/// The reason of an AuthClient that has no condition yet, or one of another release.
const OTHER: &str = "Other";

/// Every value of the label.
const REASONS: [&str; 20] = [
    "Available",
    "NotAllowed",
    "Invalid",
    "ClientIdTaken",
    "TooManyClients",
    "WorkloadIdentityDisabled",
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

/// The gauges of AuthClients.
#[derive(Debug, Clone)]
pub(super) struct Gauges {
    by_reason: IntGaugeVec,
    overdue: IntGauge,
}

impl Gauges {
    /// Updates them from the cache.
    pub(super) fn update(&self, auth_clients: &AuthClients, now: Timestamp) {
        for (reason, number) in by_reason(auth_clients) {
            self.by_reason.with_label_values(&[reason]).set(i64::try_from(number).unwrap_or(i64::MAX));
        }
        let clients = auth_clients.select(ObservedClient::is_readable);
        let overdue = clients.iter().filter_map(|client| overdue(client.salvaged(), now)).max();
        self.overdue.set(overdue.unwrap_or_default());
    }
}

/// The gauges, with every value of the label.
pub(super) fn register(registry: &Registry) -> Result<Gauges, prometheus::Error> {
    let overdue = IntGauge::new(
        "latchkey_operator_client_secret_overdue_seconds",
        "The longest time by which the rotation of a client secret is overdue.",
    )?;
    registry.register(Box::new(overdue.clone()))?;
    let clients = IntGaugeVec::new(
        Opts::new("latchkey_operator_auth_clients", "AuthClients by the reason of their condition Ready."),
        &["reason"],
    )?;
    registry.register(Box::new(clients.clone()))?;
    for reason in REASONS {
        clients.with_label_values(&[reason]);
    }
    Ok(Gauges { by_reason: clients, overdue })
}

/// The number of AuthClients for each reason.
fn by_reason(auth_clients: &AuthClients) -> BTreeMap<&'static str, usize> {
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

/// By how many seconds the rotation of the secret of an accepted AuthClient is overdue; `None` if it is not.
fn overdue(client: &AuthClient, now: Timestamp) -> Option<i64> {
    let interval = client.spec.secret.as_ref()?.rotation_interval.as_deref()?;
    let status = client.status.as_ref()?;
    let is_accepted = status.conditions.iter().any(|known| known.type_ == ACCEPTED && known.status == "True");
    if !is_accepted || client.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let rotated_at = status.secret_rotated_at.as_ref()?.0.as_second();
    let interval = i64::try_from(parse_seconds(interval).ok()?).ok()?;
    let seconds = now.as_second().checked_sub(rotated_at)?.checked_sub(interval)?;
    (seconds > 0).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn client(accepted: &str, secret: &Value, deleted: &Value) -> AuthClient {
        serde_json::from_value(json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthClient",
            "metadata": {"name": "orders", "deletionTimestamp": deleted},
            "spec": {"authServiceRef": {"name": "auth"}, "secret": secret},
            "status": {
                "secretRotatedAt": "1970-01-01T00:00:00Z",
                "conditions": [{
                    "type": "Accepted", "status": accepted, "reason": "R", "message": "",
                    "lastTransitionTime": "1970-01-01T00:00:00Z",
                }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_rotation_is_overdue_only_if_the_operator_should_have_begun_it() {
        let hourly = json!({"rotationInterval": "1h"});
        let at = |second| Timestamp::from_second(second).unwrap();
        let ready = client("True", &hourly, &json!(null));
        assert_eq!([3_599, 3_600, 3_601].map(|second| overdue(&ready, at(second))), [None, None, Some(1)]);
        let deleted = json!("1970-01-01T00:00:00Z");
        for other in [
            client("False", &hourly, &json!(null)),
            client("True", &json!({}), &json!(null)),
            client("True", &hourly, &deleted),
        ] {
            assert_eq!(overdue(&other, at(1_000_000)), None);
        }
    }
}

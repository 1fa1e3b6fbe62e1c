//! What `clients list` and `clients status` show of one AuthClient.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use latchkey_crds::AuthClient;
use latchkey_crds::auth_service::parse_seconds;
use latchkey_crds::conditions::READY;
use serde::Serialize;

use super::annotations::{REVOKE_PREVIOUS, ROTATE};
use crate::status::{ConditionStatus, Warning, condition};

/// The status of one AuthClient.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientStatus {
    pub namespace: String,
    pub name: String,
    /// Whether every replica accepts the client.
    pub ready: bool,
    /// Whether the operator has processed the current spec.
    pub current: bool,
    pub client_id: String,
    /// The namespace and the name of the AuthService.
    pub auth_service: String,
    #[serde(rename = "type")]
    pub client_type: String,
    pub conditions: Vec<ConditionStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretStatus>,
    /// The requests that the operator has not finished: `rotate-secret` and `revoke-previous-secret`.
    pub requested: Vec<&'static str>,
    /// Whether `spec.paused` of the AuthService holds changes back; `None` if the user may not read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_service_paused: Option<bool>,
    /// The last warnings about the AuthClient.
    pub warnings: Vec<Warning>,
}

/// The Secret of a confidential client. Its values are never read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretStatus {
    pub name: String,
    /// Whether the operator generates it; otherwise the user provides it.
    pub generated: bool,
    /// When the operator generated the current client secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<i64>,
    /// When it is to be rotated (`spec.secret.rotationInterval`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_due: Option<String>,
    /// The seconds until then; negative if it is overdue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_due_in_seconds: Option<i64>,
    /// Until when a previous client secret works, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_works_until: Option<String>,
}

impl ClientStatus {
    /// What the AuthClient itself says.
    pub fn of(client: &AuthClient, now: Timestamp) -> Self {
        let status = client.status.clone().unwrap_or_default();
        let conditions: Vec<ConditionStatus> = status.conditions.iter().map(condition).collect();
        let annotations = client.annotations();
        let pending = [ROTATE, REVOKE_PREVIOUS].into_iter();
        Self {
            namespace: client.namespace().unwrap_or_default(),
            name: client.name_any(),
            ready: conditions.iter().any(|one| one.type_ == READY && one.status == "True"),
            current: status.observed_generation == client.metadata.generation,
            client_id: client.client_id(),
            auth_service: format!(
                "{}/{}",
                client.auth_service_namespace(),
                client.spec.auth_service_ref.name
            ),
            client_type: written(&client.spec.client_type),
            conditions,
            secret: secret(client, now),
            requested: pending
                .filter(|name| annotations.contains_key(&format!("latchkey.dev/{name}")))
                .collect(),
            auth_service_paused: None,
            warnings: Vec::new(),
        }
    }

    /// The condition `Ready`.
    pub fn ready_condition(&self) -> Option<&ConditionStatus> {
        self.conditions.iter().find(|condition| condition.type_ == READY)
    }
}

/// A value as the spec writes it.
fn written(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn secret(client: &AuthClient, now: Timestamp) -> Option<SecretStatus> {
    let name = client.secret_name()?;
    let status = client.status.clone().unwrap_or_default();
    // The status describes the Secret of another name until the operator has processed the spec.
    let is_described = status.secret_name.as_deref() == Some(&name);
    let rotated_at = status.secret_rotated_at.map(|time| time.0).filter(|_| is_described);
    let spec = client.spec.secret.clone().unwrap_or_default();
    let after = |text: &str| -> Option<Timestamp> {
        let seconds = i64::try_from(parse_seconds(text).ok()?).ok()?;
        rotated_at?.checked_add(SignedDuration::from_secs(seconds)).ok()
    };
    let due = spec.rotation_interval.as_deref().and_then(after);
    let previous = after(&spec.overlap).filter(|end| *end > now);
    let seconds_to = |time: Timestamp| time.as_second() - now.as_second();
    Some(SecretStatus {
        name,
        generated: client.spec.existing_secret_ref.is_none(),
        rotated_at: rotated_at.map(|time| time.to_string()),
        age_seconds: rotated_at.map(|time| -seconds_to(time)),
        rotation_due: due.map(|time| time.to_string()),
        rotation_due_in_seconds: due.map(seconds_to),
        previous_works_until: previous.map(|time| time.to_string()),
    })
}

/// A number of seconds as kubectl shows an age: its largest unit, such as `3d`.
pub fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(spec: &Value, annotations: &Value) -> ClientStatus {
        let mut full = json!({"authServiceRef": {"name": "auth", "namespace": "identity"}});
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let client: AuthClient = serde_json::from_value(json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthClient",
            "metadata": {"name": "orders", "namespace": "shop", "generation": 2, "annotations": annotations},
            "spec": full,
            "status": {"observedGeneration": 2, "secretName": "orders-oauth", "secretRotatedAt": "2026-01-01T00:00:00Z"},
        }))
        .unwrap();
        ClientStatus::of(&client, "2026-01-02T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn the_age_of_the_secret_and_its_rotation_follow_from_the_spec() {
        let status = of(&json!({"secret": {"rotationInterval": "23h", "overlap": "48h"}}), &json!({}));
        assert_eq!(
            (status.client_id.as_str(), status.auth_service.as_str()),
            ("shop.orders", "identity/auth")
        );
        let secret = status.secret.unwrap();
        assert_eq!((secret.age_seconds, secret.rotation_due_in_seconds), (Some(86_400), Some(-3_600)));
        assert_eq!(secret.previous_works_until.as_deref(), Some("2026-01-03T00:00:00Z"));
        // The default overlap of a day has passed, and nothing is rotated without an interval.
        let secret = of(&json!({}), &json!({})).secret.unwrap();
        assert_eq!((secret.rotation_due, secret.previous_works_until), (None, None));
        // The status does not describe the Secret of another name.
        let secret = of(&json!({"secret": {"name": "other"}}), &json!({})).secret.unwrap();
        assert_eq!((secret.name.as_str(), secret.age_seconds), ("other", None));
        let secret = of(&json!({"existingSecretRef": {"name": "mine"}}), &json!({})).secret.unwrap();
        assert!(!secret.generated && secret.age_seconds.is_none());
        assert_eq!(of(&json!({"type": "public", "grantTypes": ["password"]}), &json!({})).secret, None);
    }

    #[test]
    fn requests_that_are_not_finished_are_listed() {
        assert!(of(&json!({}), &json!({})).requested.is_empty());
        let annotations = json!({"latchkey.dev/rotate-secret": "1", "example.com/other": "2"});
        assert_eq!(of(&json!({}), &annotations).requested, ["rotate-secret"]);
    }

    #[test]
    fn ages_have_their_largest_unit() {
        for (seconds, text) in [(-5, "0s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (172_800, "2d")] {
            assert_eq!(age(seconds), text);
        }
    }
}

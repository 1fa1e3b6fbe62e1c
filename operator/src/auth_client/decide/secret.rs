//! The client secret of a confidential client: which one applications are to read, and when it is replaced.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use latchkey_config::SecretText;
use latchkey_config::account_rules::{MIN_CLIENT_SECRET_BYTES, is_client_secret};
use latchkey_crds::auth_client::ExistingSecretRef;
use latchkey_crds::auth_service::parse_seconds;

use crate::auth_service::problem::Problem;
use crate::fingerprint::keyed_fingerprint;
use crate::names::{GENERATED_ANNOTATION, ROTATE_SECRET_ANNOTATION, ROTATED_AT_ANNOTATION};

/// A client secret that the operator generated, as its Secret has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub text: SecretText,
    /// When it was generated.
    pub rotated_at: Timestamp,
    /// The last processed value of the annotation that rotates the secret.
    pub processed: Option<String>,
}

/// Why the secret in the Secret changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The client is new.
    Created,
    /// The Secret was deleted, or the value was edited.
    Regenerated,
    Rotated,
}

/// The decision about a generated secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Generated {
    /// The secret that applications are to read now.
    pub current: Stored,
    pub change: Option<Change>,
    /// The secret that replaces it once every replica accepts it.
    pub next: Option<SecretText>,
}

/// The time and the values that a rotation depends on.
pub(crate) struct Rotation<'a> {
    /// `spec.secret.rotationInterval`.
    pub interval: Option<&'a str>,
    /// The value of the annotation that rotates the secret.
    pub requested: Option<&'a str>,
    /// The secret that the replicas were asked to accept before.
    pub next: Option<SecretText>,
    /// Whether every replica accepts it.
    pub next_is_accepted: bool,
    /// Whether the client had a secret before.
    pub had_secret: bool,
    pub now: Timestamp,
}

/// The client secret in a Secret, if the operator generated it for the AuthClient with this uid: an edited value has
/// another HMAC.
pub(crate) fn stored(data: &BTreeMap<String, Vec<u8>>, secret: &DynamicObject, uid: &str) -> Option<Stored> {
    let annotations = secret.annotations();
    let proof = annotations.get(GENERATED_ANNOTATION)?;
    let mut values = data.values().filter_map(|value| std::str::from_utf8(value).ok());
    let text = values
        .find(|text| is_client_secret(text) && generated_proof(&SecretText::new(*text), uid) == *proof)?;
    Some(Stored {
        text: SecretText::new(text),
        rotated_at: annotations.get(ROTATED_AT_ANNOTATION)?.parse().ok()?,
        processed: annotations.get(ROTATE_SECRET_ANNOTATION).cloned(),
    })
}

/// Proves that the operator generated this secret. Only who knows the secret can compute it.
pub(crate) fn generated_proof(secret: &SecretText, uid: &str) -> String {
    keyed_fingerprint(secret, uid.as_bytes())
}

/// Decides which secret applications read. `fresh` generates one.
pub(crate) fn decide_generated(
    stored: Option<Stored>,
    rotation: Rotation<'_>,
    fresh: impl FnOnce() -> SecretText,
) -> Generated {
    let processed = rotation.requested.map(str::to_owned);
    let replaced = |text| Stored { text, rotated_at: rotation.now, processed: processed.clone() };
    let Some(stored) = stored else {
        let change = if rotation.had_secret { Change::Regenerated } else { Change::Created };
        return Generated { current: replaced(fresh()), change: Some(change), next: None };
    };
    let is_requested = rotation.requested.is_some() && rotation.requested != stored.processed.as_deref();
    if !is_requested && !is_old(&stored, &rotation) {
        // The record of a request stays as long as the annotation.
        return Generated { current: Stored { processed, ..stored }, change: None, next: None };
    }
    match rotation.next {
        Some(next) if rotation.next_is_accepted => {
            Generated { current: replaced(next), change: Some(Change::Rotated), next: None }
        }
        next => Generated { current: stored, change: None, next: Some(next.unwrap_or_else(fresh)) },
    }
}

fn is_old(stored: &Stored, rotation: &Rotation<'_>) -> bool {
    due(stored, rotation.interval).is_some_and(|due| rotation.now >= due)
}

/// When the secret is to be rotated.
pub(crate) fn due(stored: &Stored, interval: Option<&str>) -> Option<Timestamp> {
    let seconds = i64::try_from(parse_seconds(interval?).ok()?).ok()?;
    Timestamp::from_second(stored.rotated_at.as_second().checked_add(seconds)?).ok()
}

/// The client secret in a Secret of the user.
pub(crate) fn existing(
    reference: &ExistingSecretRef,
    data: Option<&BTreeMap<String, Vec<u8>>>,
) -> Result<SecretText, Problem> {
    let ExistingSecretRef { name, key, .. } = reference;
    let field = "spec.existingSecretRef";
    let Some(data) = data else {
        return Err(Problem::new(
            "SecretMissing",
            format!(
                "The Secret {name}, which {field} references, does not exist: create it with the key {key}."
            ),
        ));
    };
    let Some(value) = data.get(key) else {
        return Err(Problem::new(
            "SecretKeyMissing",
            format!("The Secret {name}, which {field} references, has no key {key}: add it."),
        ));
    };
    // Values written by hand often end in a line break.
    let text = std::str::from_utf8(value).map(|text| text.trim_end_matches(['\r', '\n'])).unwrap_or_default();
    if !is_client_secret(text) {
        return Err(Problem::new(
            "SecretInvalid",
            format!(
                "The key {key} of the Secret {name}, which {field} references, must be a text of at least {MIN_CLIENT_SECRET_BYTES} characters: set a random value."
            ),
        ));
    }
    Ok(SecretText::new(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OLD: &str = "old-old-old-old-old-old-old-old-old";
    const NEW: &str = "new-new-new-new-new-new-new-new-new";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn old(processed: Option<&str>) -> Stored {
        Stored { text: SecretText::new(OLD), rotated_at: at(0), processed: processed.map(str::to_owned) }
    }

    fn rotation(now: i64) -> Rotation<'static> {
        Rotation {
            interval: None,
            requested: None,
            next: None,
            next_is_accepted: false,
            had_secret: true,
            now: at(now),
        }
    }

    fn fresh() -> SecretText {
        SecretText::new(NEW)
    }

    #[test]
    fn a_missing_secret_is_generated() {
        let created = decide_generated(None, Rotation { had_secret: false, ..rotation(5) }, fresh);
        assert_eq!(created.change, Some(Change::Created));
        assert_eq!((created.current.text.expose(), created.current.rotated_at), (NEW, at(5)));
        assert_eq!(decide_generated(None, rotation(5), fresh).change, Some(Change::Regenerated));
    }

    #[test]
    fn a_rotation_waits_until_the_replicas_accept_the_next_secret() {
        let due = |next: Option<SecretText>, next_is_accepted: bool| {
            let interval = Some("1h");
            decide_generated(
                Some(old(None)),
                Rotation { interval, next, next_is_accepted, ..rotation(3600) },
                fresh,
            )
        };
        let early = Rotation { interval: Some("1h"), ..rotation(3599) };
        assert_eq!(decide_generated(Some(old(None)), early, fresh).next, None);
        let begun = due(None, false);
        assert_eq!((begun.current.text.expose(), begun.change), (OLD, None));
        assert_eq!(begun.next, Some(fresh()));
        let next = SecretText::new("the one that was submitted before, of 32");
        assert_eq!(due(Some(next.clone()), false).next, Some(next.clone()), "it stays the same");
        let done = due(Some(next.clone()), true);
        assert_eq!((done.current.text, done.change, done.next), (next, Some(Change::Rotated), None));
        assert_eq!(done.current.rotated_at, at(3600));
    }

    #[test]
    fn each_request_rotates_once() {
        let requested = |processed: Option<&str>, next: bool| {
            let next = next.then(fresh);
            let rotation =
                Rotation { requested: Some("1"), next_is_accepted: next.is_some(), next, ..rotation(9) };
            decide_generated(Some(old(processed)), rotation, fresh)
        };
        assert!(requested(None, false).next.is_some() && requested(Some("0"), false).next.is_some());
        let rotated = requested(None, true);
        assert_eq!(rotated.current.processed.as_deref(), Some("1"));
        assert_eq!(
            requested(Some("1"), false),
            Generated { current: old(Some("1")), change: None, next: None }
        );
        // The record is removed with the annotation.
        let after = decide_generated(Some(old(Some("1"))), rotation(9), fresh);
        assert_eq!(after.current.processed, None);
    }

    #[test]
    fn only_a_value_that_the_operator_generated_is_accepted() {
        let secret = |value: &str| -> DynamicObject {
            serde_json::from_value(json!({"metadata": {"name": "a", "annotations": {
                GENERATED_ANNOTATION: generated_proof(&SecretText::new(value), "1"),
                ROTATED_AT_ANNOTATION: "1970-01-01T00:00:00Z",
            }}}))
            .unwrap()
        };
        let data =
            |value: &str| BTreeMap::from([("id".to_owned(), b"x".to_vec()), ("s".to_owned(), value.into())]);
        assert_eq!(stored(&data(OLD), &secret(OLD), "1"), Some(old(None)));
        assert_eq!(stored(&data(NEW), &secret(OLD), "1"), None, "edited");
        assert_eq!(stored(&data(OLD), &secret(OLD), "2"), None, "copied from another AuthClient");
        assert_eq!(stored(&data("short"), &secret("short"), "1"), None);
    }

    #[test]
    fn an_existing_secret_is_long() {
        let reference: ExistingSecretRef = serde_json::from_value(json!({"name": "a"})).unwrap();
        let with = |value: &[u8]| BTreeMap::from([("client-secret".to_owned(), value.to_vec())]);
        let reason =
            |data: Option<&BTreeMap<String, Vec<u8>>>| existing(&reference, data).unwrap_err().reason;
        assert_eq!(reason(None), "SecretMissing");
        assert_eq!(reason(Some(&BTreeMap::new())), "SecretKeyMissing");
        for bad in [&b""[..], b"short", &[0xff; 40], b"thirty-one characters and a line\n"[1..].as_ref()] {
            let problem = existing(&reference, Some(&with(bad))).unwrap_err();
            assert_eq!(problem.reason, "SecretInvalid");
            assert!(!problem.message.contains("short"));
        }
        let good = existing(&reference, Some(&with(format!("{OLD}\n").as_bytes()))).unwrap();
        assert_eq!(good.expose(), OLD);
    }
}

//! Prepares the secret of an accepted AuthClient: reads or generates it, and writes its Secret.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use latchkey_clients::{Client, SecretDigest};
use latchkey_config::SecretText;
use latchkey_crds::auth_client::ClientSecret;
use latchkey_crds::auth_service::parse_seconds;
use latchkey_crds::{AuthClient, AuthService};

use super::apply::apply_secret;
use super::context::Context;
use super::decide::{
    Change, Generated, Rotation, SecretState, Stored, decide_generated, due, existing, render, stored,
};
use super::dereference;
use super::error::ReconcileError;
use super::status::Incident;
use crate::auth_service::data_of;
use crate::auth_service::problem::Problem;
use crate::cluster::controller_reference::controller_of;
use crate::credentials::{ENTROPY_BYTES, password_from};
use crate::fingerprint::secret_digest;
use crate::names::ROTATE_SECRET_ANNOTATION;
use crate::registrations::{View, Wanted};

/// The secret of a client, as far as it is ready.
pub(super) struct Prepared {
    pub(super) state: SecretState,
    /// The secret that applications read; `None` if it is not known at the moment.
    pub(super) current: Option<SecretDigest>,
    /// The secret that is to replace it.
    pub(super) next: Option<SecretDigest>,
    /// How long a previous secret works, in seconds.
    pub(super) overlap: i64,
    /// When the operator generated the current secret.
    pub(super) rotated_at: Option<Timestamp>,
    /// When it is to be rotated.
    pub(super) due: Option<Timestamp>,
    /// Whether the annotation that rotates the secret is processed.
    pub(super) rotation_is_done: bool,
    pub(super) incidents: Vec<Incident>,
}

impl Prepared {
    fn new(state: SecretState, overlap: i64) -> Self {
        Self {
            state,
            current: None,
            next: None,
            overlap,
            rotated_at: None,
            due: None,
            rotation_is_done: false,
            incidents: Vec::new(),
        }
    }
}

/// Prepares the secret.
///
/// # Errors
/// When the API server does not respond, or the Secret has changed.
pub(super) async fn prepare(
    client: &AuthClient,
    service: &AuthService,
    registered: &Client,
    context: &Context,
) -> Result<Prepared, ReconcileError> {
    let Some(name) = client.secret_name() else {
        return Ok(Prepared::new(SecretState::NotRequired, 0));
    };
    let live = dereference::secret(client, &name, context).await?.map(|live| live.object());
    let Some(reference) = &client.spec.existing_secret_ref else {
        return generated(client, service, registered, name, live, context).await;
    };
    let data = live.as_ref().map(data_of);
    let overlap = seconds(&reference.overlap);
    Ok(match existing(reference, data.as_ref()) {
        Ok(text) => {
            let prepared = Prepared::new(SecretState::Found { name }, overlap);
            Prepared { current: Some(secret_digest(&text)), ..prepared }
        }
        Err(problem) => Prepared::new(SecretState::Problem(problem), overlap),
    })
}

/// The API server has validated the text.
fn seconds(text: &str) -> i64 {
    parse_seconds(text).ok().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or_default()
}

async fn generated(
    client: &AuthClient,
    service: &AuthService,
    registered: &Client,
    name: String,
    live: Option<DynamicObject>,
    context: &Context,
) -> Result<Prepared, ReconcileError> {
    let uid = client.uid().unwrap_or_default();
    let default = ClientSecret::default();
    let spec = client.spec.secret.as_ref().unwrap_or(&default);
    let overlap = seconds(&spec.overlap);
    let known = live.as_ref().and_then(|live| stored(&data_of(live), live, &uid));
    if live.as_ref().is_some_and(|live| !is_ours(live, &uid, known.is_some())) {
        let problem = Problem::new(
            "NameConflict",
            format!(
                "The Secret {name} does not belong to this AuthClient: delete it, or set another spec.secret.name."
            ),
        );
        return Ok(Prepared::new(SecretState::Problem(problem), overlap));
    }
    let next = context.with_memory(&uid, |memory| memory.next_secret.clone());
    let next_is_accepted = known.as_ref().zip(next.as_ref()).is_some_and(|(known, next)| {
        let wanted = Wanted {
            client: registered.clone(),
            has_secret: true,
            current: Some(secret_digest(&known.text)),
            next: Some(secret_digest(next)),
            overlap,
            revokes_previous: false,
        };
        let published = context.registrations.published(&service.uid().unwrap_or_default());
        let view = published.map(|published| published.view(&uid, &wanted));
        matches!(view, Some(View::InForce | View::NoReplicas))
    });
    let requested = client.annotations().get(ROTATE_SECRET_ANNOTATION).map(String::as_str);
    let rotation = Rotation {
        interval: spec.rotation_interval.as_deref(),
        requested,
        next,
        next_is_accepted,
        had_secret: live.is_some() || had_secret(client, &name),
        now: now(),
    };
    let fresh = fresh()?;
    let before = known.as_ref().map(|known| secret_digest(&known.text));
    let decision = decide_generated(known, rotation, || fresh);
    let rendered = render(client, service, &decision.current)?;
    let problem = apply_secret(client, &rendered, live.as_ref(), context).await?;
    let is_applied = problem.is_none();
    if is_applied {
        let next = decision.next.clone();
        context.with_memory(&uid, |memory| memory.next_secret = next);
    }
    let Generated { current: Stored { text, rotated_at, processed }, change, next } = decision;
    let current = Stored { text, rotated_at, processed };
    Ok(Prepared {
        state: match problem {
            Some(problem) => SecretState::Problem(problem),
            None => SecretState::Generated { name: name.clone(), rotating: next.is_some() },
        },
        // The secret that is in the cluster.
        current: if is_applied { Some(secret_digest(&current.text)) } else { before },
        next: next.filter(|_| is_applied).map(|next| secret_digest(&next)),
        overlap,
        rotated_at: is_applied.then_some(current.rotated_at),
        due: due(&current, spec.rotation_interval.as_deref()),
        rotation_is_done: is_applied && requested.is_some() && current.processed.as_deref() == requested,
        incidents: change
            .filter(|_| is_applied)
            .and_then(|change| incident(change, &name))
            .into_iter()
            .collect(),
    })
}

/// Whether a Secret may be written. One without an owner is ours if it contains a secret that the operator generated for
/// this AuthClient: its owner reference is restored.
fn is_ours(live: &DynamicObject, uid: &str, has_our_secret: bool) -> bool {
    match controller_of(live) {
        Some(owner) => owner.uid == uid,
        None => has_our_secret,
    }
}

/// Whether the Secret of this name had a secret before.
fn had_secret(client: &AuthClient, name: &str) -> bool {
    client.status.as_ref().is_some_and(|status| {
        status.secret_rotated_at.is_some() && status.secret_name.as_deref() == Some(name)
    })
}

/// In seconds, as the API server stores times.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn fresh() -> Result<SecretText, ReconcileError> {
    let mut entropy = [0; ENTROPY_BYTES];
    aws_lc_rs::rand::fill(&mut entropy).map_err(|_| ReconcileError::Random)?;
    Ok(password_from(&entropy))
}

fn incident(change: Change, name: &str) -> Option<Incident> {
    let (warning, reason, what) = match change {
        Change::Created => return None,
        Change::Regenerated => (
            true,
            "SecretRegenerated",
            "was deleted or its client secret was edited; the operator generated a new one",
        ),
        Change::Rotated => (false, "SecretRotated", "contains a new client secret"),
    };
    let note =
        format!("The Secret {name} {what}. The previous secret works for the time of spec.secret.overlap.");
    Some(Incident { warning, reason, note })
}

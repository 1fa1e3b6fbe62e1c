//! The conditions of an AuthClient.

use latchkey_crds::conditions as types;

use crate::auth_service::problem::Problem;
use crate::registrations::{View, Written};

/// What the conditions depend on.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The namespace and name of the AuthService.
    pub service: String,
    /// The client id, or why it is refused.
    pub accepted: Result<String, Problem>,
    pub secret: SecretState,
    pub registered: Registered,
    /// Whether the AuthClient is being deleted.
    pub deleting: bool,
}

/// The state of the Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretState {
    /// The client is refused.
    NotDecided,
    /// The client has no secret.
    NotRequired,
    /// The Secret of this name contains the secret that the operator generated.
    Generated {
        name: String,
        rotating: bool,
    },
    /// The Secret of the user contains one.
    Found {
        name: String,
    },
    Problem(Problem),
}

/// The state of the registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registered {
    /// The AuthService was not reconciled since the operator started.
    Unknown,
    View(View),
}

/// A decided condition, without its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stated {
    pub type_: &'static str,
    pub status: &'static str,
    pub reason: &'static str,
    pub message: String,
}

fn state(
    type_: &'static str,
    status: &'static str,
    reason: &'static str,
    message: impl Into<String>,
) -> Stated {
    Stated { type_, status, reason, message: message.into() }
}

/// Decides all conditions, `Ready` first.
pub(crate) fn decide_conditions(facts: &Facts) -> Vec<Stated> {
    let others = vec![accepted(facts), secret(facts), registered(facts)];
    let mut conditions = vec![ready(facts, &others)];
    conditions.extend(others);
    conditions
}

fn ready(facts: &Facts, others: &[Stated]) -> Stated {
    if facts.deleting {
        let message = format!(
            "The AuthClient is deleted when no replica of the AuthService {} accepts the client any more.",
            facts.service
        );
        return state(types::READY, "False", "Deleting", message);
    }
    match others.iter().find(|other| other.status != "True") {
        Some(obstacle) => state(types::READY, "False", obstacle.reason, obstacle.message.clone()),
        None => state(types::READY, "True", "Available", "Every replica accepts the client."),
    }
}

fn accepted(facts: &Facts) -> Stated {
    match &facts.accepted {
        Ok(id) => {
            let message = format!("The AuthService {} accepts the client {id}.", facts.service);
            state(types::ACCEPTED, "True", "Accepted", message)
        }
        Err(problem) => state(types::ACCEPTED, "False", problem.reason, problem.message.clone()),
    }
}

fn secret(facts: &Facts) -> Stated {
    let type_ = types::SECRET_READY;
    match &facts.secret {
        SecretState::NotDecided => state(
            type_,
            "False",
            "NotAccepted",
            "A refused client has no secret: see the condition Accepted.",
        ),
        SecretState::NotRequired => {
            state(type_, "True", "NotRequired", "The client authenticates without a secret, or not at all.")
        }
        SecretState::Generated { name, rotating: false } => {
            state(type_, "True", "Generated", format!("The Secret {name} contains the client secret."))
        }
        SecretState::Generated { name, rotating: true } => {
            let message = format!(
                "The Secret {name} contains the client secret, and receives a new one when every replica accepts that."
            );
            state(type_, "True", "Rotating", message)
        }
        SecretState::Found { name } => {
            state(type_, "True", "Found", format!("The existing Secret {name} contains the client secret."))
        }
        SecretState::Problem(problem) => state(type_, "False", problem.reason, problem.message.clone()),
    }
}

fn registered(facts: &Facts) -> Stated {
    let (type_, service) = (types::REGISTERED, &facts.service);
    let not = |reason, message: String| state(type_, "False", reason, message);
    if facts.deleting {
        return not("Deleting", format!("The client leaves the registry of the AuthService {service}."));
    }
    if facts.accepted.is_err() {
        return not(
            "NotAccepted",
            "A refused client is not registered: see the condition Accepted.".to_owned(),
        );
    }
    let pending = matches!(facts.registered, Registered::Unknown | Registered::View(View::Pending(_)));
    if pending && matches!(facts.secret, SecretState::Problem(_)) {
        let message = "A client without its secret is not registered: see the condition SecretReady.";
        return not("SecretNotReady", message.to_owned());
    }
    match facts.registered {
        Registered::Unknown | Registered::View(View::Pending(Written::No)) => not(
            "AuthServiceNotReady",
            format!(
                "The registry of the AuthService {service} is not written: see the conditions of the AuthService."
            ),
        ),
        Registered::View(View::Pending(Written::Paused)) => not(
            "AuthServicePaused",
            format!(
                "The AuthService {service} is paused: the client is registered when its spec.paused is false."
            ),
        ),
        Registered::View(View::Pending(Written::Yes)) => {
            not("Pending", format!("The operator is writing the registry of the AuthService {service}."))
        }
        Registered::View(View::NoReplicas) => {
            not("NoReplicas", format!("The AuthService {service} has no running replica."))
        }
        Registered::View(View::Loading { loaded, replicas, unsupported: true }) => not(
            "ReplicasOutdated",
            format!(
                "{loaded} of {replicas} replicas have loaded the client; the server image of another one does not support clients: upgrade the AuthService {service}."
            ),
        ),
        Registered::View(View::Loading { loaded, replicas, unsupported: false }) => {
            not("NotLoaded", format!("{loaded} of {replicas} replicas have loaded the client."))
        }
        Registered::View(View::InForce) => {
            state(type_, "True", "Loaded", "Every replica has loaded the client.")
        }
    }
}

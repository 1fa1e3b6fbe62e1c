//! What the API server answers that somebody has to act upon. Pure.

use kube::core::Status;

use crate::auth_service::validate::Problem;
use crate::kinds::Kind;

/// How the API server begins to say that it could not ask an admission webhook whose answer is needed
/// (`k8s.io/apiserver/pkg/admission/plugin/webhook/errors`); the code is that of any failure.
const WEBHOOK_FAILS: &str = "failed calling webhook";

/// Whether asking again would not help, or a webhook that others look after has to work first.
pub(super) fn is_refusal(status: &Status) -> bool {
    matches!(status.code, 400 | 403 | 404 | 405 | 422)
        || (status.code == 500 && status.message.contains(WEBHOOK_FAILS))
}

/// What is said about it.
pub(super) fn problem(kind: Kind, name: &str, verb: &str, status: &Status) -> Problem {
    // An answer about a Secret might repeat what it holds.
    let why = if kind == Kind::Secret { &status.reason } else { &status.message };
    Problem::new("ApplyRefused", format!("the API server refused that the {kind} {name} is {verb}: {why}"))
}

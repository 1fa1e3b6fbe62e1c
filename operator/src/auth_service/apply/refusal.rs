//! What the API server answers that somebody has to act upon. Pure.

use kube::core::Status;

use crate::auth_service::problem::Problem;
use crate::cluster::kinds::Kind;

/// How the API server begins to say that it could not ask an admission webhook whose answer is needed
/// (`k8s.io/apiserver/pkg/admission/plugin/webhook/errors`); the code is that of any failure.
const WEBHOOK_FAILS: &str = "failed calling webhook";

/// How it begins to say that a list has two elements of one name, which it takes for its own failure.
const MALFORMED: &str = "failed to create typed patch object";

/// Whether asking again would not help, or a webhook that others look after has to work first. A kind that others
/// bring may be on its way out: that it is gone, the watch of its definition tells.
pub(super) fn is_refusal(kind: Kind, status: &Status) -> bool {
    match status.code {
        400 | 403 | 405 | 422 => true,
        404 => !Kind::OPTIONAL.contains(&kind),
        500 => status.message.starts_with(MALFORMED) || status.message.contains(WEBHOOK_FAILS),
        _ => false,
    }
}

/// What is said about it.
pub(super) fn problem(kind: Kind, name: &str, verb: &str, status: &Status) -> Problem {
    // An answer about a Secret might repeat what it holds.
    let why = if kind == Kind::Secret { &status.reason } else { &status.message };
    Problem::new("ApplyRefused", format!("the API server refused that the {kind} {name} is {verb}: {why}"))
}

/// What is said when the API server accepted a removal and removed nothing.
pub(super) fn kept_as_it_is(kind: Kind, name: &str) -> Problem {
    Problem::new(
        "ApplyRefused",
        format!(
            "the {kind} {name} holds fields that were not rendered where none are allowed, and the API server keeps \
             them: an admission webhook adds them again"
        ),
    )
}

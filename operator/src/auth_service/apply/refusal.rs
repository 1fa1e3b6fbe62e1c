//! Responses of the API server that require an action by a user. Pure.

use kube::core::Status;

use crate::auth_service::problem::Problem;
use crate::cluster::kinds::Kind;

/// The prefix of the API server's message when it could not call a required admission webhook
/// (`k8s.io/apiserver/pkg/admission/plugin/webhook/errors`); the status code is that of any internal error.
const WEBHOOK_FAILS: &str = "failed calling webhook";

/// The prefix of its message for a list with duplicate elements, which it reports as an internal error.
const MALFORMED: &str = "failed to create typed patch object";

/// Whether a retry does not help, or requires that a webhook works again. A 404 for an optional kind is not a
/// refusal: the watch of its definition reports that the kind was removed.
pub(super) fn is_refusal(kind: Kind, status: &Status) -> bool {
    match status.code {
        400 | 403 | 405 | 422 => true,
        404 => !Kind::OPTIONAL.contains(&kind),
        500 => status.message.starts_with(MALFORMED) || status.message.contains(WEBHOOK_FAILS),
        _ => false,
    }
}

/// The problem of a refused request.
pub(super) fn problem(kind: Kind, name: &str, verb: &str, status: &Status) -> Problem {
    // The response for a Secret may repeat its content.
    let why = if kind == Kind::Secret { &status.reason } else { &status.message };
    Problem::new(
        "ApplyRefused",
        format!("the API server refused the request: the {kind} {name} was not {verb}: {why}"),
    )
}

/// The problem if the API server accepted the removal of fields but kept them.
pub(super) fn kept_as_it_is(kind: Kind, name: &str) -> Problem {
    Problem::new(
        "ApplyRefused",
        format!(
            "the {kind} {name} holds fields that were not rendered where none are allowed, and the API server keeps \
             them: an admission webhook adds them again"
        ),
    )
}

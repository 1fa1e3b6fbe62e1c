//! Errors of updating the status.

use crate::cluster::kinds::Kind;

#[derive(Debug, thiserror::Error)]
pub(crate) enum StatusError {
    /// The API server did not respond, or refused the status.
    #[error("the status could not be written: {0}")]
    Write(#[source] kube::Error),
    /// The AuthService has changed since the cache read it; the reconcile is repeated with its current state.
    #[error("the AuthService has changed in the meantime")]
    Outdated,
    /// The API server refused an object permanently; the reconcile is retried with increasing delay.
    #[error("{0}")]
    Refused(String),
    /// Another writer changes an object faster than it is repaired; the reconcile is retried.
    #[error("another writer keeps changing the {kind} {name}, which differs from the rendered object")]
    Contested { kind: Kind, name: String },
}

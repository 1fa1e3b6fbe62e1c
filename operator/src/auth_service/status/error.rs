//! Why the status of an AuthService could not be settled.

use crate::cluster::kinds::Kind;

/// The status could not be written.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The API server did not answer, or refused it.
    #[error("the status could not be written: {0}")]
    Write(#[source] kube::Error),
    /// The API server refused an object for good; it is tried again, but less and less often.
    #[error("{0}")]
    Refused(String),
    /// Another writer changes an object faster than it is repaired; it is tried again.
    #[error("another writer keeps changing the {kind} {name}: it does not hold what was rendered")]
    Contested {
        /// The object's kind.
        kind: Kind,
        /// The object's name.
        name: String,
    },
}

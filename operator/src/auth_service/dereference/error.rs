//! What could not be looked up.

use latchkey_keyset::KeySetError;

/// What could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DereferenceError {
    /// The API server did not answer.
    #[error("the Secret {name} could not be read: {source}")]
    Secret {
        /// The Secret.
        name: String,
        /// What went wrong.
        source: kube::Error,
    },
    /// The API server did not answer.
    #[error("the ConfigMap {name} could not be read: {source}")]
    ConfigMap {
        /// The ConfigMap.
        name: String,
        /// What went wrong.
        source: kube::Error,
    },
    /// An object of the AuthService's own is there, and this release cannot read it: which part of it.
    #[error("this release cannot read {0}")]
    Unreadable(Box<str>),
    /// A key could not be made.
    #[error(transparent)]
    Keys(#[from] KeySetError),
    /// Random bytes could not be had.
    #[error("the system has no random bytes")]
    Random,
}

//! Errors of dereferencing.

use latchkey_clients::RegistryError;
use latchkey_keyset::KeySetError;

use crate::cluster::kinds::Kind;

/// What could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DereferenceError {
    /// The API server did not respond.
    #[error("the Secret {name} could not be read: {source}")]
    Secret { name: String, source: kube::Error },
    /// The API server did not respond.
    #[error("the ConfigMap {name} could not be read: {source}")]
    ConfigMap { name: String, source: kube::Error },
    /// The API server did not respond.
    #[error("the {kind} of {name} could not be read: {source}")]
    Unstored {
        kind: Kind,
        /// Their AuthService, or the name of the object.
        name: String,
        source: kube::Error,
    },
    /// An object of the AuthService exists, but this release cannot read the named part of it.
    #[error("this release cannot read {0}")]
    Unreadable(Box<str>),
    /// A key could not be made.
    #[error(transparent)]
    Keys(#[from] KeySetError),
    /// An accepted AuthClient breaks a rule of the registry, which is a bug.
    #[error("the client registry cannot be rendered: {0}")]
    Registry(RegistryError),
    /// The system returned no random bytes.
    #[error("the system returned no random bytes")]
    Random,
}

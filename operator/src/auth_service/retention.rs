//! What outlives an AuthService: the volume of the embedded PostgreSQL with its credentials, and the signing keys. Pure.

use latchkey_crds::AuthServiceSpec;
use latchkey_crds::auth_service::{KeyReclaim, Reclaim};

/// Whether the volume of the embedded PostgreSQL, and the credentials for it, stay when the AuthService is deleted or
/// uses an external database.
pub(crate) fn retains_volume(spec: &AuthServiceSpec) -> bool {
    let embedded = spec.database.embedded.as_ref();
    embedded.is_some_and(|embedded| embedded.storage.is_some() && embedded.reclaim == Reclaim::Retain)
}

/// Whether the signing keys stay when the AuthService is deleted.
pub(crate) fn retains_keys(spec: &AuthServiceSpec) -> bool {
    spec.tokens.key_reclaim == KeyReclaim::Retain
}

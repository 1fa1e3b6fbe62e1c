//! Whether the volume of the embedded PostgreSQL is retained. Pure.

use latchkey_crds::AuthServiceSpec;
use latchkey_crds::auth_service::Reclaim;

/// Whether the volume of the embedded PostgreSQL, and the credentials for it, stay when the AuthService is deleted or
/// uses an external database.
pub(crate) fn retains_volume(spec: &AuthServiceSpec) -> bool {
    let embedded = spec.database.embedded.as_ref();
    embedded.is_some_and(|embedded| embedded.storage.is_some() && embedded.reclaim == Reclaim::Retain)
}

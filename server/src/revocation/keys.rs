//! The names of this service's keys in Redis.

use aws_lc_rs::digest::{Context, SHA256};
use uuid::Uuid;

use crate::store::RevocationState;

/// Names by which the keys of one service are told from those of others that use the same Redis database.
#[derive(Debug)]
pub(super) struct Keys {
    /// What all of them begin with.
    pub(super) prefix: String,
    /// Holds the epoch of the copy. It is set before the copy is made, and is gone if Redis loses data afterwards.
    pub(super) marker: String,
    revoked_prefix: String,
}

impl Keys {
    /// The keys of the service of `issuer` on the database that gave `state`. The id of the service alone would not do: it
    /// is copied along when a database is cloned from another one or restored beside it.
    pub(super) fn new(issuer: &str, state: &RevocationState) -> Self {
        let prefix = prefix(issuer, state.service_id, &state.database_name);
        Self { marker: format!("{prefix}epoch"), revoked_prefix: format!("{prefix}revoked:"), prefix }
    }

    /// Is there while the session's access tokens may be unexpired by some replica's clock.
    pub(super) fn revoked(&self, session_id: Uuid) -> String {
        format!("{}{session_id}", self.revoked_prefix)
    }
}

/// 128 bits of a SHA-256. The braces put all keys of a service into one slot of a Redis Cluster.
fn prefix(issuer: &str, service_id: Uuid, database_name: &str) -> String {
    let mut context = Context::new(&SHA256);
    // No part can run into the next: the id has a fixed length, and no database name holds a zero byte.
    for part in [service_id.as_bytes().as_slice(), database_name.as_bytes(), b"\0", issuer.as_bytes()] {
        context.update(part);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&context.finish().as_ref()[..16]);
    format!("latchkey:{{{}}}:", Uuid::from_bytes(id).simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_differ_in_anything_have_other_keys() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let base = prefix("https://a.example", one, "auth");
        assert_eq!(base, prefix("https://a.example", one, "auth"));
        assert_eq!((&base[..10], &base[base.len() - 2..]), ("latchkey:{", "}:"));
        let different = [
            ("https://b.example", one, "auth"),
            ("https://a.example", other, "auth"),
            ("https://a.example", one, "auth2"),
        ];
        for (issuer, id, database) in different {
            assert_ne!(base, prefix(issuer, id, database));
        }
    }
}

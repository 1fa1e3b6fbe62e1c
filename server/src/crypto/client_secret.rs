//! Client secrets.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use latchkey_config::account_rules::is_client_secret;

/// The SHA-256 digests of the id and the secret of the client that introspects and revokes tokens. A fast hash is enough
/// because the secret is long and random.
#[derive(Clone)]
pub struct ClientSecret {
    id: Digest,
    secret: Digest,
}

impl ClientSecret {
    /// Returns `None` if the secret is too short.
    pub fn new(id: &str, secret: &str) -> Option<Self> {
        let hash = |text: &str| digest(&SHA256, text.as_bytes());
        is_client_secret(secret).then(|| Self { id: hash(id), secret: hash(secret) })
    }

    /// Compares in constant time, so that the response time does not reveal how much of a guess is right.
    pub fn matches(&self, id: &str, secret: &str) -> bool {
        let equal = |stored: &Digest, text: &str| {
            verify_slices_are_equal(stored.as_ref(), digest(&SHA256, text.as_bytes()).as_ref()).is_ok()
        };
        equal(&self.id, id) & equal(&self.secret, secret)
    }
}

/// A client secret that a program presents, as its SHA-256 digest.
pub struct PresentedSecret(Digest);

impl PresentedSecret {
    /// Hashes the secret.
    pub fn new(secret: &str) -> Self {
        Self(digest(&SHA256, secret.as_bytes()))
    }

    /// Compares in constant time.
    pub fn has_digest(&self, stored: &[u8; 32]) -> bool {
        verify_slices_are_equal(self.0.as_ref(), stored).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_only_the_right_id_and_secret() {
        let secret = "0123456789abcdef0123456789abcdef";
        let credentials = ClientSecret::new("api", secret).unwrap();
        assert!(credentials.matches("api", secret));
        for (id, wrong) in
            [("apj", secret), ("api", &secret[1..]), ("", secret), ("api", ""), (secret, "api")]
        {
            assert!(!credentials.matches(id, wrong), "{id} {wrong}");
        }
        assert!(ClientSecret::new("api", &secret[1..]).is_none());
    }
}

//! The credential of the program that introspects and revokes tokens.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use latchkey_config::account_rules::is_client_secret;

/// An id and a secret, of which only the SHA-256 is kept. A secret that long needs no slow hash.
#[derive(Clone)]
pub struct ClientSecret {
    id: Digest,
    secret: Digest,
}

impl ClientSecret {
    /// Keeps the credential; `None` when the secret is too short.
    pub fn new(id: &str, secret: &str) -> Option<Self> {
        let hash = |text: &str| digest(&SHA256, text.as_bytes());
        is_client_secret(secret).then(|| Self { id: hash(id), secret: hash(secret) })
    }

    /// Whether this is the credential; takes as long wherever the two differ.
    pub fn matches(&self, id: &str, secret: &str) -> bool {
        let equal = |kept: &Digest, text: &str| {
            verify_slices_are_equal(kept.as_ref(), digest(&SHA256, text.as_bytes()).as_ref()).is_ok()
        };
        equal(&self.id, id) & equal(&self.secret, secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_must_be_right_and_the_secret_long() {
        let secret = "0123456789abcdef0123456789abcdef";
        let kept = ClientSecret::new("api", secret).unwrap();
        assert!(kept.matches("api", secret));
        for (id, wrong) in
            [("apj", secret), ("api", &secret[1..]), ("", secret), ("api", ""), (secret, "api")]
        {
            assert!(!kept.matches(id, wrong), "{id} {wrong}");
        }
        assert!(ClientSecret::new("api", &secret[1..]).is_none());
    }
}

//! The secrets in the links of e-mails.

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// 256 random bits as base64url (OWASP ASVS 5.0 §6.5), of which only the SHA-256 is stored.
pub struct OneTimeSecret(String);

impl OneTimeSecret {
    pub const CHARS: usize = 43;

    /// Returns `None` if the system returns no randomness.
    pub fn generate() -> Option<Self> {
        let mut bytes = [0_u8; 32];
        rand::fill(&mut bytes).ok()?;
        Some(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The secret itself, for the link.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The hash that the database stores.
    pub fn hash(&self) -> Vec<u8> {
        Self::hash_of(&self.0)
    }

    /// The hash of a secret that a client presents, for looking it up.
    pub fn hash_of(presented: &str) -> Vec<u8> {
        digest::digest(&digest::SHA256, presented.as_bytes()).as_ref().to_vec()
    }
}

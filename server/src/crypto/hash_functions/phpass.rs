//! phpass, the "portable PHP password hashing framework": an iterated MD5, or SHA-512 in Drupal.

use super::crypt::MAX_PASSWORD;
use super::digest::DigestKind;
use super::text::{crypt64, crypt64_value, to_hex};
use crate::crypto::hash_refusal::HashRefusal;

const MIN_LOG2: u32 = 7;
/// These rounds take about half a second with the longest password.
const MAX_LOG2: u32 = 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::crypto) struct Phpass {
    pub(in crate::crypto) digest: DigestKind,
    pub(in crate::crypto) log2: u32,
    pub(in crate::crypto) salt: String,
    /// Drupal 7 hashed the MD5 digests of Drupal 6 again, as hexadecimal text.
    pub(in crate::crypto) md5_first: bool,
}

impl Phpass {
    pub(in crate::crypto) fn new(
        digest: DigestKind,
        log2: u32,
        salt: &str,
        md5_first: bool,
    ) -> Result<Self, HashRefusal> {
        if log2 > MAX_LOG2 {
            return Err(HashRefusal::TooCostly);
        }
        if log2 < MIN_LOG2 || salt.len() != 8 {
            return Err(HashRefusal::Malformed("phpass"));
        }
        Ok(Self { digest, log2, salt: salt.to_owned(), md5_first })
    }

    /// Parses `$P$`, `$H$` (MD5) and `$S$` (SHA-512), prefixed with `U` if an MD5 digest was hashed. Returns the
    /// parameters and the hash; `None` if the text has none of these prefixes.
    pub(in crate::crypto) fn parse(text: &str) -> Option<Result<(Self, Vec<u8>), HashRefusal>> {
        let (md5_first, text) = text.strip_prefix('U').map_or((false, text), |rest| (true, rest));
        let (digest, rest) = match text.get(..3)? {
            "$P$" | "$H$" => (DigestKind::Md5, text.get(3..)?),
            "$S$" => (DigestKind::Sha512, text.get(3..)?),
            _ => return None,
        };
        let read = || {
            let log2 = crypt64_value(*rest.as_bytes().first()?)?;
            let (salt, hash) = rest.get(1..)?.split_at_checked(8)?;
            // Drupal truncates its string to 55 characters, which contain the first 32 bytes of the digest.
            let length = if digest == DigestKind::Md5 { 22 } else { 43 };
            let hash = crypt64(hash).filter(|_| hash.len() == length)?;
            Some((log2, salt, hash))
        };
        Some(match read() {
            Some((log2, salt, hash)) => {
                Self::new(digest, log2, salt, md5_first).map(|setting| (setting, hash))
            }
            None => Err(HashRefusal::Malformed("phpass")),
        })
    }

    /// The hash, truncated to the length that is stored; `None` if the password is too long.
    pub(in crate::crypto) fn compute(&self, password: &[u8]) -> Option<Vec<u8>> {
        if password.len() > MAX_PASSWORD {
            return None;
        }
        let md5 = to_hex(&DigestKind::Md5.hash(&[password]));
        let password = if self.md5_first { md5.as_bytes() } else { password };
        let mut state = self.digest.hash(&[self.salt.as_bytes(), password]);
        for _ in 0..1_u32 << self.log2 {
            state = self.digest.hash(&[&state, password]);
        }
        state.truncate(32);
        Some(state)
    }
}

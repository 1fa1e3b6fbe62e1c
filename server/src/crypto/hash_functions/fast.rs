//! Fast digests: MD5, SHA-1 and SHA-2 with or without a salt, HMAC, and the iterated MD5 of phpass and md5-crypt. An
//! attacker with a copy of the database could guess the passwords from them. Latchkey stores only the argon2id hash of such
//! a digest, and the parameters that compute the digest from a password.

use super::crypt::Md5Crypt;
use super::digest::DigestKind;
use super::phpass::Phpass;
use super::text::{base64, to_base64};
use crate::crypto::hash_refusal::HashRefusal;

const MAX_SALT: usize = 256;
/// Spring's `StandardPasswordEncoder`.
const SPRING_ROUNDS: usize = 1024;

/// A function from a password to a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::crypto) enum FastDigest {
    /// The digest of the password between two constants.
    Plain {
        digest: DigestKind,
        before: Vec<u8>,
        after: Vec<u8>,
    },
    Hmac {
        digest: DigestKind,
        key: Vec<u8>,
    },
    SpringSha256 {
        salt: Vec<u8>,
    },
    Phpass(Phpass),
    Md5Crypt(Md5Crypt),
}

/// A digest of a password.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::crypto) struct FastHash {
    pub(in crate::crypto) how: FastDigest,
    pub(in crate::crypto) digest: Vec<u8>,
}

impl FastHash {
    /// The digest of salts and password in this order.
    pub(in crate::crypto) fn plain(
        kind: DigestKind,
        (before, after): (&[u8], &[u8]),
        digest: Vec<u8>,
    ) -> Result<Self, HashRefusal> {
        if digest.len() != kind.length() {
            return Err(HashRefusal::Malformed(kind.name()));
        }
        check_salt(&[before, after])?;
        let how = FastDigest::Plain { digest: kind, before: before.to_vec(), after: after.to_vec() };
        Ok(Self { how, digest })
    }

    pub(in crate::crypto) fn hmac(
        kind: DigestKind,
        key: &[u8],
        digest: Vec<u8>,
    ) -> Result<Self, HashRefusal> {
        if digest.len() != kind.length() {
            return Err(HashRefusal::Malformed("HMAC"));
        }
        check_salt(&[key])?;
        Ok(Self { how: FastDigest::Hmac { digest: kind, key: key.to_vec() }, digest })
    }
}

fn check_salt(parts: &[&[u8]]) -> Result<(), HashRefusal> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length > MAX_SALT { Err(HashRefusal::Length) } else { Ok(()) }
}

impl FastDigest {
    /// `None` if the password is too long.
    pub(in crate::crypto) fn compute(&self, password: &[u8]) -> Option<Vec<u8>> {
        Some(match self {
            Self::Plain { digest, before, after } => digest.hash(&[before, password, after]),
            Self::Hmac { digest, key } => digest.hmac(key, password),
            Self::SpringSha256 { salt } => {
                let mut state = DigestKind::Sha256.hash(&[salt, password]);
                for _ in 1..SPRING_ROUNDS {
                    state = DigestKind::Sha256.hash(&[&state]);
                }
                state
            }
            Self::Phpass(phpass) => return phpass.compute(password),
            Self::Md5Crypt(crypt) => crypt.compute(password).into_bytes(),
        })
    }

    /// The text in front of the argon2id hash, such as `md5:BEFORE:AFTER`.
    pub(in crate::crypto) fn describe(&self) -> String {
        match self {
            Self::Plain { digest, before, after } => {
                format!("{}:{}:{}", digest.name(), to_base64(before), to_base64(after))
            }
            Self::Hmac { digest, key } => format!("hmac-{}:{}", digest.name(), to_base64(key)),
            Self::SpringSha256 { salt } => format!("spring-sha256:{}", to_base64(salt)),
            Self::Phpass(phpass) => {
                let kind = if phpass.md5_first { "u-phpass" } else { "phpass" };
                format!("{kind}-{}:{}:{}", phpass.digest.name(), phpass.log2, phpass.salt)
            }
            Self::Md5Crypt(crypt) => format!("md5crypt:{}:{}", crypt.magic.trim_matches('$'), crypt.salt),
        }
    }

    /// The inverse of [`FastDigest::describe`].
    pub(in crate::crypto) fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once(':')?;
        if name == "spring-sha256" {
            return Some(Self::SpringSha256 { salt: base64(rest)? });
        }
        if let Some(digest) = name.strip_prefix("hmac-") {
            return Some(Self::Hmac { digest: DigestKind::of(digest)?, key: base64(rest)? });
        }
        let (first, second) = rest.split_once(':')?;
        if name == "md5crypt" {
            let magic = if first == "apr1" { "$apr1$" } else { "$1$" };
            return Some(Self::Md5Crypt(Md5Crypt { magic, salt: second.to_owned() }));
        }
        let phpass = [("phpass-", false), ("u-phpass-", true)]
            .into_iter()
            .find_map(|(prefix, md5_first)| Some((name.strip_prefix(prefix)?, md5_first)));
        if let Some((digest, md5_first)) = phpass {
            let phpass = Phpass::new(DigestKind::of(digest)?, first.parse().ok()?, second, md5_first);
            return phpass.ok().map(Self::Phpass);
        }
        Some(Self::Plain { digest: DigestKind::of(name)?, before: base64(first)?, after: base64(second)? })
    }
}

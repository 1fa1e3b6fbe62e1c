//! Stored password hashes: Latchkey's own and those of accounts imported from another system.
//!
//! `hash_formats` parses them and limits the memory and time that a hash may require, so that logins of an imported
//! account cannot overload the server. `HashPool` computes argon2.

use std::num::NonZeroU32;

use argon2::{Algorithm, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::pbkdf2;

use super::hash_functions::{
    DigestKind, FastDigest, FirebaseScrypt, Phpass, ShaCrypt, scrypt_kib, to_hex, to_padded_base64,
};

/// bcrypt ignores further bytes.
const BCRYPT_MAX_PASSWORD: usize = 72;

/// A parsed hash, against which a password can be verified.
#[derive(Clone, PartialEq)]
pub(super) enum StoredHash {
    Argon2(Argon2Hash),
    Bcrypt {
        cost: u32,
        salt: [u8; 16],
        hash: Vec<u8>,
        input: BcryptInput,
    },
    Scrypt {
        params: scrypt::Params,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    Pbkdf2 {
        digest: pbkdf2::Algorithm,
        iterations: NonZeroU32,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    ShaCrypt(ShaCrypt),
    Drupal {
        setting: Phpass,
        hash: Vec<u8>,
    },
    Firebase(FirebaseScrypt),
    /// The argon2 hash of a digest of the password.
    Layered {
        digest: FastDigest,
        argon2: Argon2Hash,
    },
}

/// The hash pool computes it because it reuses the memory.
#[derive(Clone, PartialEq)]
pub(super) struct Argon2Hash {
    pub(super) algorithm: Algorithm,
    pub(super) version: Version,
    pub(super) params: Params,
    pub(super) salt: Vec<u8>,
    pub(super) hash: Vec<u8>,
}

/// The bytes that bcrypt hashes.
#[derive(Clone, PartialEq)]
pub(super) enum BcryptInput {
    Password,
    /// `bcrypt_sha256` of Django: SHA-256 in hexadecimal.
    DjangoSha256,
    /// `bcrypt_sha256` of passlib, version 1: SHA-256 in base64.
    PasslibSha256,
    /// Version 2: HMAC-SHA256 in base64; the key is the salt as it is written.
    PasslibHmac(String),
    /// `$wp$` of WordPress: HMAC-SHA384 in base64.
    WordPress,
}

impl BcryptInput {
    fn of(&self, password: &[u8]) -> Vec<u8> {
        let base64 = |bytes: Vec<u8>| to_padded_base64(&bytes).into_bytes();
        match self {
            Self::Password => password.to_vec(),
            Self::DjangoSha256 => to_hex(&DigestKind::Sha256.hash(&[password])).into_bytes(),
            Self::PasslibSha256 => base64(DigestKind::Sha256.hash(&[password])),
            Self::PasslibHmac(salt) => base64(DigestKind::Sha256.hmac(salt.as_bytes(), password)),
            Self::WordPress => base64(DigestKind::Sha384.hmac(b"wp-sha384", password)),
        }
    }
}

impl StoredHash {
    /// The algorithm and the parameters that its duration depends on.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Argon2(argon2) | Self::Layered { argon2, .. } => {
                let (algorithm, params) = (argon2.algorithm, &argon2.params);
                format!("{algorithm} {} {} {}", params.m_cost(), params.t_cost(), params.p_cost())
            }
            Self::Bcrypt { cost, .. } => format!("bcrypt {cost}"),
            Self::Scrypt { params, .. } => format!("scrypt {} {} {}", params.n(), params.r(), params.p()),
            Self::Pbkdf2 { iterations, hash, .. } => format!("pbkdf2 {} {iterations}", hash.len()),
            Self::ShaCrypt(hash) => format!("sha-crypt {}", hash.rounds()),
            Self::Drupal { setting, .. } => format!("drupal {}", setting.log2),
            Self::Firebase(hash) => {
                format!("firebase {} {} {}", hash.params.n(), hash.params.r(), hash.params.p())
            }
        }
    }

    /// The memory that verifying a password takes, in KiB.
    pub(super) fn memory_kib(&self) -> u64 {
        match self {
            Self::Argon2(argon2) | Self::Layered { argon2, .. } => u64::from(argon2.params.m_cost()),
            Self::Scrypt { params, .. } => scrypt_kib(*params),
            Self::Firebase(hash) => scrypt_kib(hash.params),
            Self::Bcrypt { .. } | Self::Pbkdf2 { .. } | Self::ShaCrypt(_) | Self::Drupal { .. } => 8,
        }
    }

    /// Whether the password matches, for all algorithms except argon2; `None` for argon2. The pepper is the text that
    /// another system appended to each password before bcrypt.
    pub(super) fn verify_without_argon2(&self, password: &[u8], pepper: Option<&[u8]>) -> Option<bool> {
        // bcrypt repeats the password to fill its key, and HMAC (RFC 2104 §2) pads it with zeros. Without this check
        // "a\0a" would match bcrypt's hash of "a", and "a\0" HMAC's.
        let has_zero = password.contains(&0);
        Some(match self {
            Self::Argon2(_) | Self::Layered { .. } => return None,
            _ if has_zero => false,
            Self::Bcrypt { cost, salt, hash, input } => {
                let verify = |password: &[u8]| verify_bcrypt(&input.of(password), *cost, *salt, hash);
                let peppered = pepper.filter(|_| *input == BcryptInput::Password);
                peppered.is_some_and(|pepper| verify(&[password, pepper].concat())) || verify(password)
            }
            Self::Scrypt { params, salt, hash } => {
                let mut output = vec![0; hash.len()];
                scrypt::scrypt(password, salt, params, &mut output).is_ok()
                    && verify_slices_are_equal(&output, hash).is_ok()
            }
            Self::Pbkdf2 { digest, iterations, salt, hash } => {
                pbkdf2::verify(*digest, *iterations, salt, password, hash).is_ok()
            }
            Self::ShaCrypt(hash) => hash.compute(password).is_some_and(|(computed, expected)| {
                verify_slices_are_equal(computed.as_bytes(), expected.as_bytes()).is_ok()
            }),
            Self::Drupal { setting, hash } => setting
                .compute(password)
                .is_some_and(|computed| verify_slices_are_equal(&computed, hash).is_ok()),
            Self::Firebase(hash) => hash.verify(password),
        })
    }
}

/// Terminates the password with a zero byte and truncates it to 72 bytes, as crypt(3) does. The login then rehashes the
/// whole password.
fn verify_bcrypt(password: &[u8], cost: u32, salt: [u8; 16], hash: &[u8]) -> bool {
    let mut key = password.to_vec();
    key.push(0);
    key.truncate(BCRYPT_MAX_PASSWORD);
    verify_slices_are_equal(&bcrypt::bcrypt(cost, salt, &key)[..23], hash).is_ok()
}

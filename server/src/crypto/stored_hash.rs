//! Stored password hashes: Latchkey's own and those of accounts imported from another system.
//!
//! Parsing limits the memory and time that a hash may require, so that logins of an imported account cannot overload
//! the server.

use std::fmt;
use std::num::NonZeroU32;

use argon2::password_hash::phc;
use argon2::{Algorithm, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::domain::PasswordHash;

/// The longest string that is parsed, in bytes.
const MAX_TEXT: usize = 512;
/// The maximum memory of one hash in KiB: 128 MiB. Django's argon2 takes 100 MiB, scrypt with OWASP's parameters 128
/// MiB.
const MAX_KIB: u64 = 128 * 1024;
/// The maximum of memory times passes, which takes about a second.
const MAX_KIB_PASSES: u64 = 1024 * 1024;
/// The maximum number of argon2's lanes and of scrypt's `p`.
const MAX_LANES: u32 = 16;
/// 2^14 rounds of bcrypt take about a second.
const MAX_BCRYPT_COST: u32 = 14;
const MIN_BCRYPT_COST: u32 = 4;
/// These iterations take about a second; Django's default is a quarter of them.
const MAX_PBKDF2_ITERATIONS: u32 = 4_000_000;
/// A shorter hash matches too many wrong passwords.
const MIN_HASH_BYTES: usize = 16;
const MAX_HASH_BYTES: usize = 64;
const MAX_SALT_BYTES: usize = 64;
/// bcrypt ignores further bytes.
const BCRYPT_MAX_PASSWORD: usize = 72;

/// Why a string is not accepted as a hash. `Display` completes "password_hash …" and never contains the string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashRefusal {
    #[error("is not a hash of bcrypt, argon2, scrypt or PBKDF2-SHA256/512 in a supported format")]
    UnknownFormat,
    #[error("is malformed: it has the prefix of a {0} hash but cannot be parsed as one")]
    Malformed(&'static str),
    /// The hash or the salt is too short to protect the password, or too long.
    #[error("has a hash or a salt of a length that is not allowed")]
    Length,
    #[error(
        "is too expensive to verify: the limits are 128 MiB, bcrypt cost 14, 4000000 iterations of PBKDF2, and about a second"
    )]
    TooCostly,
}

/// A parsed hash, against which a password can be verified.
#[derive(Clone, PartialEq)]
pub(super) enum StoredHash {
    Argon2(Argon2Hash),
    Bcrypt { cost: u32, salt: [u8; 16], hash: Vec<u8> },
    Scrypt { params: scrypt::Params, salt: Vec<u8>, hash: Vec<u8> },
    Pbkdf2 { sha: Sha, iterations: NonZeroU32, salt: Vec<u8>, hash: Vec<u8> },
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sha {
    Sha256,
    Sha512,
}

/// A hash of another system whose format and cost were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignHash(PasswordHash);

impl ForeignHash {
    /// # Errors
    /// [`HashRefusal`]
    pub fn parse(text: &str) -> Result<Self, HashRefusal> {
        StoredHash::parse(text).map(|_| Self(PasswordHash::new(text)))
    }

    pub fn into_stored(self) -> PasswordHash {
        self.0
    }
}

impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Debug for Argon2Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl StoredHash {
    /// Parses these formats:
    /// - argon2, scrypt, PBKDF2: `$argon2id$v=19$m=…,t=…,p=…$salt$hash` and so on (PHC string format);
    /// - bcrypt: `$2a$`, `$2b$`, `$2y$` (crypt(3));
    /// - PBKDF2 as passlib writes it (`$pbkdf2-sha256$rounds$salt$hash`) and as Django does
    ///   (`pbkdf2_sha256$iterations$salt$hash`).
    pub(super) fn parse(text: &str) -> Result<Self, HashRefusal> {
        if text.len() > MAX_TEXT || !text.is_ascii() {
            return Err(HashRefusal::UnknownFormat);
        }
        let parts: Vec<&str> = text.split('$').collect();
        match parts.as_slice() {
            ["", "2a" | "2b" | "2y", cost, rest] => parse_bcrypt(cost, rest),
            ["", "argon2id" | "argon2i" | "argon2d", ..] => parse_argon2(text),
            ["", "scrypt", params, salt, hash] => parse_scrypt(params, salt, hash),
            ["", name @ ("pbkdf2-sha256" | "pbkdf2-sha512"), params, salt, hash] => {
                let salt = decode(&B64, &plus_for_dot(salt)).ok_or(HashRefusal::Malformed("PBKDF2"))?;
                let hash = plus_for_dot(hash);
                pbkdf2_hash(Sha::of(name), parse_pbkdf2_params(params, &hash)?, salt, &hash)
            }
            [name @ ("pbkdf2_sha256" | "pbkdf2_sha512"), iterations, salt, hash] => {
                pbkdf2_hash(Sha::of(name), number(iterations, "PBKDF2")?, salt.as_bytes().to_vec(), hash)
            }
            _ => Err(HashRefusal::UnknownFormat),
        }
    }

    /// The memory that verifying a password takes, in KiB.
    pub(super) fn memory_kib(&self) -> u64 {
        match self {
            Self::Argon2(argon2) => u64::from(argon2.params.m_cost()),
            Self::Scrypt { params, .. } => scrypt_kib(*params),
            Self::Bcrypt { .. } | Self::Pbkdf2 { .. } => 8,
        }
    }

    /// Whether the password matches, for all algorithms except argon2; `None` for argon2.
    pub(super) fn verify_without_argon2(&self, password: &[u8]) -> Option<bool> {
        // bcrypt repeats the password to fill its key, and HMAC (RFC 2104 §2) pads it with zeros. Without this check
        // "a\0a" would match bcrypt's hash of "a", and "a\0" HMAC's.
        let has_zero = password.contains(&0);
        Some(match self {
            Self::Argon2(_) => return None,
            _ if has_zero => false,
            Self::Bcrypt { cost, salt, hash } => verify_bcrypt(password, *cost, *salt, hash),
            Self::Scrypt { params, salt, hash } => {
                let mut output = vec![0; hash.len()];
                scrypt::scrypt(password, salt, params, &mut output).is_ok()
                    && verify_slices_are_equal(&output, hash).is_ok()
            }
            Self::Pbkdf2 { sha, iterations, salt, hash } => {
                pbkdf2::verify(sha.algorithm(), *iterations, salt, password, hash).is_ok()
            }
        })
    }
}

impl Sha {
    fn of(name: &str) -> Self {
        if name.ends_with("512") { Self::Sha512 } else { Self::Sha256 }
    }

    fn algorithm(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// Accepts input with or without `=`, and the trailing bits that some encoders leave after the last byte.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const B64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BCRYPT_B64: GeneralPurpose = GeneralPurpose::new(&alphabet::BCRYPT, LENIENT);

fn decode(engine: &GeneralPurpose, text: &str) -> Option<Vec<u8>> {
    engine.decode(text).ok()
}

/// passlib's base64 alphabet has `.` in place of `+`.
fn plus_for_dot(text: &str) -> String {
    text.replace('.', "+")
}

fn number(text: &str, scheme: &'static str) -> Result<u32, HashRefusal> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(number),
        // The number does not fit into 32 bits.
        Err(_) if digits => Err(HashRefusal::TooCostly),
        _ => Err(HashRefusal::Malformed(scheme)),
    }
}

/// Parses `a=1,b=2` with exactly these names, in any order.
fn numbers<const N: usize>(
    params: &str,
    names: [&str; N],
    scheme: &'static str,
) -> Result<[u32; N], HashRefusal> {
    let malformed = HashRefusal::Malformed(scheme);
    let mut found = [None; N];
    for pair in params.split(',') {
        let (name, value) = pair.split_once('=').ok_or(malformed)?;
        let place = names.iter().position(|known| *known == name).ok_or(malformed)?;
        if found[place].replace(number(value, scheme)?).is_some() {
            return Err(malformed);
        }
    }
    let mut values = [0; N];
    for (value, found) in values.iter_mut().zip(found) {
        *value = found.ok_or(malformed)?;
    }
    Ok(values)
}

fn check_lengths(salt: &[u8], hash: &[u8]) -> Result<(), HashRefusal> {
    let good =
        (1..=MAX_SALT_BYTES).contains(&salt.len()) && (MIN_HASH_BYTES..=MAX_HASH_BYTES).contains(&hash.len());
    if good { Ok(()) } else { Err(HashRefusal::Length) }
}

fn parse_argon2(text: &str) -> Result<StoredHash, HashRefusal> {
    let malformed = HashRefusal::Malformed("argon2");
    let phc = phc::PasswordHash::new(text).map_err(|_| malformed)?;
    let algorithm = Algorithm::try_from(phc.algorithm.as_str()).map_err(|_| malformed)?;
    // Strings without a version are of version 0x10, the last one before the field was introduced.
    let version = Version::try_from(phc.version.unwrap_or(0x10)).map_err(|_| malformed)?;
    let [kib, passes, lanes] = numbers(&phc.params.to_string(), ["m", "t", "p"], "argon2")?;
    let (Some(salt), Some(hash)) = (phc.salt, phc.hash) else { return Err(malformed) };
    let (salt, hash) = (salt.as_ref().to_vec(), hash.as_bytes().to_vec());
    check_lengths(&salt, &hash)?;
    let work = u64::from(kib).saturating_mul(u64::from(passes));
    if u64::from(kib) > MAX_KIB || work > MAX_KIB_PASSES || lanes > MAX_LANES {
        return Err(HashRefusal::TooCostly);
    }
    let params = Params::new(kib, passes, lanes, Some(hash.len())).map_err(|_| malformed)?;
    Ok(StoredHash::Argon2(Argon2Hash { algorithm, version, params, salt, hash }))
}

fn parse_bcrypt(cost: &str, rest: &str) -> Result<StoredHash, HashRefusal> {
    let malformed = HashRefusal::Malformed("bcrypt");
    let cost = number(cost, "bcrypt")?;
    if cost > MAX_BCRYPT_COST {
        return Err(HashRefusal::TooCostly);
    }
    let (salt, hash) = rest.split_at_checked(22).ok_or(malformed)?;
    let salt = decode(&BCRYPT_B64, salt).and_then(|salt| salt.try_into().ok()).ok_or(malformed)?;
    let hash = decode(&BCRYPT_B64, hash).filter(|hash| hash.len() == 23).ok_or(malformed)?;
    if cost < MIN_BCRYPT_COST {
        return Err(malformed);
    }
    Ok(StoredHash::Bcrypt { cost, salt, hash })
}

/// Terminates the password with a zero byte and truncates it to 72 bytes, as crypt(3) does. The login then rehashes the
/// whole password.
fn verify_bcrypt(password: &[u8], cost: u32, salt: [u8; 16], hash: &[u8]) -> bool {
    let mut key = password.to_vec();
    key.push(0);
    key.truncate(BCRYPT_MAX_PASSWORD);
    verify_slices_are_equal(&bcrypt::bcrypt(cost, salt, &key)[..23], hash).is_ok()
}

fn parse_scrypt(params: &str, salt: &str, hash: &str) -> Result<StoredHash, HashRefusal> {
    let malformed = HashRefusal::Malformed("scrypt");
    let [log_n, r, p] = numbers(params, ["ln", "r", "p"], "scrypt")?;
    let salt = decode(&B64, salt).ok_or(malformed)?;
    let hash = decode(&B64, hash).ok_or(malformed)?;
    check_lengths(&salt, &hash)?;
    // Checked before the multiplication, which could overflow.
    if log_n > 24 || r > 64 || p > MAX_LANES {
        return Err(HashRefusal::TooCostly);
    }
    let log_n = u8::try_from(log_n).map_err(|_| malformed)?;
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| malformed)?;
    let kib = scrypt_kib(params);
    if kib > MAX_KIB || kib * u64::from(p) > MAX_KIB_PASSES {
        return Err(HashRefusal::TooCostly);
    }
    Ok(StoredHash::Scrypt { params, salt, hash })
}

fn scrypt_kib(params: scrypt::Params) -> u64 {
    params.n().saturating_mul(u64::from(params.r())) / 8
}

/// Parses `i=1000,l=32`, `i=1000`, or only the number.
fn parse_pbkdf2_params(params: &str, hash: &str) -> Result<u32, HashRefusal> {
    if !params.contains('=') {
        return number(params, "PBKDF2");
    }
    if !params.contains(',') {
        return numbers(params, ["i"], "PBKDF2").map(|[iterations]| iterations);
    }
    let [iterations, length] = numbers(params, ["i", "l"], "PBKDF2")?;
    let length = usize::try_from(length).ok();
    if decode(&B64, hash).map(|hash| hash.len()) == length {
        Ok(iterations)
    } else {
        Err(HashRefusal::Malformed("PBKDF2"))
    }
}

fn pbkdf2_hash(sha: Sha, iterations: u32, salt: Vec<u8>, hash: &str) -> Result<StoredHash, HashRefusal> {
    let malformed = HashRefusal::Malformed("PBKDF2");
    let hash = decode(&B64, hash).ok_or(malformed)?;
    check_lengths(&salt, &hash)?;
    if iterations > MAX_PBKDF2_ITERATIONS {
        return Err(HashRefusal::TooCostly);
    }
    let iterations = NonZeroU32::new(iterations).ok_or(malformed)?;
    Ok(StoredHash::Pbkdf2 { sha, iterations, salt, hash })
}

#[cfg(test)]
#[path = "stored_hash_tests.rs"]
mod tests;

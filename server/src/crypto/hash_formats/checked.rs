//! The limits of the memory and time that an imported hash may require.

use std::num::NonZeroU32;

use argon2::password_hash::phc;
use argon2::{Algorithm, Params, Version};

use crate::crypto::hash_functions::text::{base64_bcrypt, number, numbers};
use crate::crypto::hash_functions::{DigestKind, MAX_KIB, MAX_KIB_PASSES, scrypt_params};
use crate::crypto::hash_refusal::HashRefusal;
use crate::crypto::stored_hash::{Argon2Hash, BcryptInput, StoredHash};

/// The maximum number of argon2's lanes, which cost neither memory nor time. Ory Kratos's default is two for each core of
/// its server.
const MAX_LANES: u32 = 64;
/// 2^14 rounds of bcrypt take about a second.
const MAX_BCRYPT_COST: u32 = 14;
const MIN_BCRYPT_COST: u32 = 4;
/// These iterations take about a second; Django's default is a quarter of them.
const MAX_PBKDF2_ITERATIONS: u32 = 4_000_000;
/// A shorter hash matches too many wrong passwords.
const MIN_HASH_BYTES: usize = 16;
const MAX_HASH_BYTES: usize = 64;
const MAX_SALT_BYTES: usize = 64;

/// PBKDF2 derives keys of any length; applications with Node's `crypto.pbkdf2` often store 512 bytes.
const MAX_PBKDF2_BYTES: usize = 1024;

fn check_lengths(salt: &[u8], hash: &[u8], max_hash: usize) -> Result<(), HashRefusal> {
    let good =
        (1..=MAX_SALT_BYTES).contains(&salt.len()) && (MIN_HASH_BYTES..=max_hash).contains(&hash.len());
    if good { Ok(()) } else { Err(HashRefusal::Length) }
}

/// Parses `$argon2id$v=19$m=…,t=…,p=…$salt$hash`.
pub(super) fn argon2(text: &str) -> Result<StoredHash, HashRefusal> {
    argon2_hash(text).map(StoredHash::Argon2)
}

pub(super) fn argon2_hash(text: &str) -> Result<Argon2Hash, HashRefusal> {
    let malformed = HashRefusal::Malformed("argon2");
    let phc = phc::PasswordHash::new(text).map_err(|_| malformed)?;
    let algorithm = Algorithm::try_from(phc.algorithm.as_str()).map_err(|_| malformed)?;
    // Strings without a version are of version 0x10, the last one before the field was introduced.
    let version = Version::try_from(phc.version.unwrap_or(0x10)).map_err(|_| malformed)?;
    let [kib, passes, lanes] = numbers(&phc.params.to_string(), ["m", "t", "p"], "argon2")?;
    let (Some(salt), Some(hash)) = (phc.salt, phc.hash) else { return Err(malformed) };
    let (salt, hash) = (salt.as_ref().to_vec(), hash.as_bytes().to_vec());
    check_lengths(&salt, &hash, MAX_HASH_BYTES)?;
    let work = u64::from(kib).saturating_mul(u64::from(passes));
    if u64::from(kib) > MAX_KIB || work > MAX_KIB_PASSES || lanes > MAX_LANES {
        return Err(HashRefusal::TooCostly);
    }
    let params = Params::new(kib, passes, lanes, Some(hash.len())).map_err(|_| malformed)?;
    Ok(Argon2Hash { algorithm, version, params, salt, hash })
}

/// `rest` consists of the salt (22 characters) and the hash.
pub(super) fn bcrypt(cost: &str, rest: &str, input: BcryptInput) -> Result<StoredHash, HashRefusal> {
    let malformed = HashRefusal::Malformed("bcrypt");
    let cost = number(cost, "bcrypt")?;
    if cost > MAX_BCRYPT_COST {
        return Err(HashRefusal::TooCostly);
    }
    let (salt, hash) = rest.split_at_checked(22).ok_or(malformed)?;
    let salt = base64_bcrypt(salt).and_then(|salt| salt.try_into().ok()).ok_or(malformed)?;
    let hash = base64_bcrypt(hash).filter(|hash| hash.len() == 23).ok_or(malformed)?;
    if cost < MIN_BCRYPT_COST {
        return Err(malformed);
    }
    Ok(StoredHash::Bcrypt { cost, salt, hash, input })
}

/// The exponent of `n`, which must be a power of two.
pub(super) fn log2_of(n: u32) -> Result<u32, HashRefusal> {
    if n.is_power_of_two() { Ok(n.ilog2()) } else { Err(HashRefusal::Malformed("scrypt")) }
}

pub(super) fn scrypt(params: [u32; 3], salt: Vec<u8>, hash: Vec<u8>) -> Result<StoredHash, HashRefusal> {
    check_lengths(&salt, &hash, MAX_HASH_BYTES)?;
    Ok(StoredHash::Scrypt { params: scrypt_params(params)?, salt, hash })
}

pub(super) fn pbkdf2(
    digest: DigestKind,
    iterations: u32,
    salt: Vec<u8>,
    mut hash: Vec<u8>,
) -> Result<StoredHash, HashRefusal> {
    let malformed = HashRefusal::Malformed("PBKDF2");
    check_lengths(&salt, &hash, MAX_PBKDF2_BYTES)?;
    // A key that is longer than the digest consists of blocks, each of which depends on the whole password and takes all
    // iterations again (RFC 8018 §5.2). The first block identifies the password like a key of that length.
    hash.truncate(digest.length());
    if iterations > MAX_PBKDF2_ITERATIONS {
        return Err(HashRefusal::TooCostly);
    }
    let digest = digest.pbkdf2().ok_or(HashRefusal::UnknownFormat)?;
    let iterations = NonZeroU32::new(iterations).ok_or(malformed)?;
    Ok(StoredHash::Pbkdf2 { digest, iterations, salt, hash })
}

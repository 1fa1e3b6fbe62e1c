//! ASP.NET Core Identity: base64 of a version and the parts of a PBKDF2 hash.

use super::checked::pbkdf2;
use crate::crypto::hash_functions::digest::DigestKind;
use crate::crypto::hash_functions::text::base64;
use crate::crypto::hash_refusal::HashRefusal;
use crate::crypto::stored_hash::StoredHash;

const V2_ITERATIONS: u32 = 1_000;
const V2_SALT: usize = 16;
const V2_LENGTH: usize = 1 + V2_SALT + 32;

/// Parses
/// - version 2: `0`, the salt of 16 bytes, 32 bytes of PBKDF2-SHA1 with 1,000 iterations;
/// - version 3: `1`, then the function, the iterations and the length of the salt as four bytes each, the salt and the
///   hash.
pub(super) fn parse(text: &str) -> Result<StoredHash, HashRefusal> {
    let bytes = base64(text).ok_or(HashRefusal::UnknownFormat)?;
    match bytes.split_first() {
        Some((0, rest)) if bytes.len() == V2_LENGTH => {
            let (salt, hash) = rest.split_at(V2_SALT);
            pbkdf2(DigestKind::Sha1, V2_ITERATIONS, salt.to_vec(), hash.to_vec())
        }
        Some((1, rest)) => parse_v3(rest).ok_or(HashRefusal::UnknownFormat)?,
        _ => Err(HashRefusal::UnknownFormat),
    }
}

fn parse_v3(bytes: &[u8]) -> Option<Result<StoredHash, HashRefusal>> {
    let (function, rest) = bytes.split_first_chunk::<4>()?;
    let (iterations, rest) = rest.split_first_chunk::<4>()?;
    let (salt_length, rest) = rest.split_first_chunk::<4>()?;
    let digest = match u32::from_be_bytes(*function) {
        0 => DigestKind::Sha1,
        1 => DigestKind::Sha256,
        2 => DigestKind::Sha512,
        _ => return None,
    };
    let salt_length = usize::try_from(u32::from_be_bytes(*salt_length)).ok()?;
    let (salt, hash) = rest.split_at_checked(salt_length)?;
    Some(pbkdf2(digest, u32::from_be_bytes(*iterations), salt.to_vec(), hash.to_vec()))
}

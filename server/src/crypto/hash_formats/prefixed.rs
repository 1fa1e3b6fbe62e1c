//! Formats that begin with a name in braces: LDAP (RFC 2307 §5.3 and later schemes), Spring Security, and Latchkey's form
//! of digests below argon2id.

use super::checked;
use super::parsed::Parsed;
use crate::crypto::hash_functions::digest::DigestKind;
use crate::crypto::hash_functions::fast::{FastDigest, FastHash};
use crate::crypto::hash_functions::text::{base64, base64_passlib, hex, number};
use crate::crypto::hash_refusal::HashRefusal;
use crate::crypto::stored_hash::StoredHash;

/// The names of strings that begin with `$`.
const REDUNDANT: [&str; 11] = [
    "bcrypt",
    "crypt",
    "argon2",
    "argon2@springsecurity_v5_8",
    "argon2i",
    "argon2d",
    "argon2id",
    "blf-crypt",
    "sha256-crypt",
    "sha512-crypt",
    "md5-crypt",
];
/// Spring's `Pbkdf2PasswordEncoder` up to 5.7: PBKDF2-SHA1 of 32 bytes with a salt of 8.
const SPRING_OLD: (DigestKind, u32, usize) = (DigestKind::Sha1, 185_000, 8);
/// `{pbkdf2@SpringSecurity_v5_8}`
const SPRING_5_8: (DigestKind, u32, usize) = (DigestKind::Sha256, 310_000, 16);
const SPRING_HASH: usize = 32;
/// Spring's `StandardPasswordEncoder`: a salt of 8 bytes in front.
const SPRING_SHA256_SALT: usize = 8;
/// Atlassian's `{PKCS5S2}`: a salt of 16 bytes, 32 bytes of PBKDF2-SHA1.
const ATLASSIAN: (u32, usize, usize) = (10_000, 16, 32);

/// Removes names in front of hashes that name their own format, such as `{bcrypt}$2a$…` and `{ldap}{SSHA}…`.
pub(super) fn strip_redundant(mut text: &str) -> &str {
    while let Some((name, rest)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) {
        let is_redundant = match name.to_ascii_lowercase().as_str() {
            "ldap" => rest.starts_with('{'),
            "scrypt" => rest.starts_with("$scrypt$"),
            name => REDUNDANT.contains(&name) && rest.starts_with('$'),
        };
        if !is_redundant {
            break;
        }
        text = rest;
    }
    text
}

pub(super) fn parse(text: &str) -> Result<Parsed, HashRefusal> {
    let (name, rest) = text[1..].split_once('}').ok_or(HashRefusal::UnknownFormat)?;
    if let Some(digest) = name.strip_prefix("layered:") {
        return parse_layered(digest, rest).map(Parsed::Stored);
    }
    if name == "sha256" && rest.len() == 2 * (SPRING_SHA256_SALT + DigestKind::Sha256.length()) {
        return parse_spring_sha256(rest).map(Parsed::Fast);
    }
    let name = name.to_ascii_lowercase();
    let stored = match name.as_str() {
        "noop" | "clear" | "cleartext" | "plain" => Err(HashRefusal::ClearText),
        "scrypt" | "scrypt@springsecurity_v5_8" => parse_spring_scrypt(rest),
        "pbkdf2" if !rest.contains('$') => parse_spring_pbkdf2(SPRING_OLD, rest),
        "pbkdf2@springsecurity_v5_8" => parse_spring_pbkdf2(SPRING_5_8, rest),
        "pbkdf2" | "pbkdf2-sha1" => parse_ldap_pbkdf2(DigestKind::Sha1, rest),
        "pbkdf2-sha256" => parse_ldap_pbkdf2(DigestKind::Sha256, rest),
        "pbkdf2-sha512" => parse_ldap_pbkdf2(DigestKind::Sha512, rest),
        "pkcs5s2" => parse_atlassian(rest),
        name => return parse_digest(name, rest).map(Parsed::Fast),
    };
    stored.map(Parsed::Stored)
}

fn parse_layered(digest: &str, rest: &str) -> Result<StoredHash, HashRefusal> {
    let digest = FastDigest::parse(digest).ok_or(HashRefusal::UnknownFormat)?;
    Ok(StoredHash::Layered { digest, argon2: checked::argon2_hash(rest)? })
}

fn parse_digest(name: &str, rest: &str) -> Result<FastHash, HashRefusal> {
    let plain = DigestKind::of(name);
    let salted = name.strip_prefix('s').and_then(DigestKind::of);
    let kind = plain.or(salted).ok_or(HashRefusal::UnknownFormat)?;
    let malformed = HashRefusal::Malformed(kind.name());
    // Spring's MessageDigestPasswordEncoder: the salt in braces, which belong to it.
    if plain.is_some()
        && let Some(end) = rest.strip_prefix('{').and_then(|rest| rest.find('}'))
    {
        let (salt, hash) = rest.split_at(end + 2);
        return FastHash::plain(kind, (b"", salt.as_bytes()), hex(hash).ok_or(malformed)?);
    }
    if plain.is_some() && rest.len() == 2 * kind.length() {
        return FastHash::plain(kind, (b"", b""), hex(rest).ok_or(malformed)?);
    }
    let bytes = base64(rest).ok_or(malformed)?;
    let (hash, salt) = bytes.split_at_checked(kind.length()).ok_or(malformed)?;
    if salt.is_empty() != plain.is_some() {
        return Err(malformed);
    }
    FastHash::plain(kind, (b"", salt), hash.to_vec())
}

fn parse_spring_sha256(rest: &str) -> Result<FastHash, HashRefusal> {
    let bytes = hex(rest).ok_or(HashRefusal::Malformed("sha256"))?;
    let (salt, digest) = bytes.split_at(SPRING_SHA256_SALT);
    Ok(FastHash { how: FastDigest::SpringSha256 { salt: salt.to_vec() }, digest: digest.to_vec() })
}

fn parse_spring_pbkdf2(
    (digest, iterations, salt): (DigestKind, u32, usize),
    rest: &str,
) -> Result<StoredHash, HashRefusal> {
    let bytes = hex(rest).filter(|bytes| bytes.len() == salt + SPRING_HASH);
    let bytes = bytes.ok_or(HashRefusal::Malformed("PBKDF2"))?;
    let (salt, hash) = bytes.split_at(salt);
    checked::pbkdf2(digest, iterations, salt.to_vec(), hash.to_vec())
}

/// `$params$salt$hash`; the parameters are log2(N), r and p in one hexadecimal number.
fn parse_spring_scrypt(rest: &str) -> Result<StoredHash, HashRefusal> {
    let malformed = HashRefusal::Malformed("scrypt");
    let parts: Vec<&str> = rest.split('$').collect();
    let ["", params, salt, hash] = *parts else { return Err(malformed) };
    let params = u32::from_str_radix(params, 16).map_err(|_| malformed)?;
    let params = [params >> 16, params >> 8 & 0xff, params & 0xff];
    let (salt, hash) = (base64(salt).ok_or(malformed)?, base64(hash).ok_or(malformed)?);
    checked::scrypt(params, salt, hash)
}

fn parse_ldap_pbkdf2(digest: DigestKind, rest: &str) -> Result<StoredHash, HashRefusal> {
    let malformed = HashRefusal::Malformed("PBKDF2");
    let parts: Vec<&str> = rest.split('$').collect();
    let [iterations, salt, hash] = *parts else { return Err(malformed) };
    let (salt, hash) = (base64_passlib(salt).ok_or(malformed)?, base64_passlib(hash).ok_or(malformed)?);
    checked::pbkdf2(digest, number(iterations, "PBKDF2")?, salt, hash)
}

fn parse_atlassian(rest: &str) -> Result<StoredHash, HashRefusal> {
    let (iterations, salt, hash) = ATLASSIAN;
    let bytes = base64(rest).filter(|bytes| bytes.len() == salt + hash);
    let bytes = bytes.ok_or(HashRefusal::Malformed("PBKDF2"))?;
    let (salt, hash) = bytes.split_at(salt);
    checked::pbkdf2(DigestKind::Sha1, iterations, salt.to_vec(), hash.to_vec())
}

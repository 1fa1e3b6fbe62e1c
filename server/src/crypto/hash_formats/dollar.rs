//! Forms whose parts are separated by `$`: crypt(3), PHC strings, passlib, Django, Werkzeug, Ory Kratos, phpass,
//! WordPress.

use super::checked;
use super::parsed::Parsed;
use crate::crypto::hash_functions::crypt::{Md5Crypt, ShaCrypt};
use crate::crypto::hash_functions::digest::DigestKind;
use crate::crypto::hash_functions::fast::{FastDigest, FastHash};
use crate::crypto::hash_functions::firebase::FirebaseScrypt;
use crate::crypto::hash_functions::phpass::Phpass;
use crate::crypto::hash_functions::text::{
    base64, base64_passlib, crypt64, crypt64_value, hex, number, numbers,
};
use crate::crypto::hash_refusal::HashRefusal;
use crate::crypto::stored_hash::{BcryptInput, StoredHash};

/// In the PHC string format, scrypt's N is 2^ln, and ln is less than 64. Ory Kratos writes N itself as `ln`.
const LN_BELOW: u32 = 64;

pub(super) fn parse(text: &str) -> Result<Parsed, HashRefusal> {
    if let Some(phpass) = Phpass::parse(text) {
        return phpass.map(phpass_hash);
    }
    let parts: Vec<&str> = text.split('$').collect();
    match parts.as_slice() {
        ["", rest @ ..] => parse_crypt(text, rest),
        rest => parse_named(text, rest),
    }
}

/// Drupal's SHA-512 has enough rounds to be stored.
fn phpass_hash((setting, hash): (Phpass, Vec<u8>)) -> Parsed {
    if setting.digest == DigestKind::Sha512 {
        Parsed::Stored(StoredHash::Drupal { setting, hash })
    } else {
        Parsed::Fast(FastHash { how: FastDigest::Phpass(setting), digest: hash })
    }
}

/// Parses strings that begin with `$`.
fn parse_crypt(text: &str, parts: &[&str]) -> Result<Parsed, HashRefusal> {
    let stored = match *parts {
        ["2a" | "2b" | "2y", cost, rest] => checked::bcrypt(cost, rest, BcryptInput::Password),
        ["wp", "2y" | "2b" | "2a", cost, rest] => checked::bcrypt(cost, rest, BcryptInput::WordPress),
        ["bcrypt-sha256", params, salt, hash] => parse_bcrypt_sha256(params, salt, hash),
        ["argon2id" | "argon2i" | "argon2d", ..] => checked::argon2(text),
        ["scrypt", params, salt, hash] => parse_scrypt(params, salt, hash),
        ["7", setting, hash] => parse_escrypt(setting, hash),
        ["pbkdf2", params, salt, hash] => parse_pbkdf2(DigestKind::Sha1, params, salt, hash),
        [name, params, salt, hash] if name.starts_with("pbkdf2-") => {
            let digest = name.strip_prefix("pbkdf2-").and_then(DigestKind::of);
            parse_pbkdf2(digest.ok_or(HashRefusal::UnknownFormat)?, params, salt, hash)
        }
        ["5" | "sha256-crypt", ref rest @ ..] => {
            ShaCrypt::parse(DigestKind::Sha256, rest).map(StoredHash::ShaCrypt)
        }
        ["6" | "sha512-crypt", ref rest @ ..] => {
            ShaCrypt::parse(DigestKind::Sha512, rest).map(StoredHash::ShaCrypt)
        }
        ["fbscrypt", params, salt, hash] => {
            FirebaseScrypt::parse_supabase(params, salt, hash).map(StoredHash::Firebase)
        }
        ["firescrypt", ref rest @ ..] => FirebaseScrypt::parse(rest).map(StoredHash::Firebase),
        _ => return parse_fast(parts).map(Parsed::Fast),
    };
    stored.map(Parsed::Stored)
}

fn parse_fast(parts: &[&str]) -> Result<FastHash, HashRefusal> {
    match *parts {
        [name @ ("1" | "apr1" | "md5-crypt"), salt, hash] => {
            let (crypt, digest) = Md5Crypt::parse(name, salt, hash)?;
            Ok(FastHash { how: FastDigest::Md5Crypt(crypt), digest })
        }
        ["md5", hash] => {
            FastHash::plain(DigestKind::Md5, (b"", b""), base64(hash).ok_or(HashRefusal::Malformed("md5"))?)
        }
        [name @ ("md5" | "sha1" | "sha256" | "sha512"), order, salt, hash] => {
            parse_ordered(DigestKind::of(name).ok_or(HashRefusal::UnknownFormat)?, order, salt, hash)
        }
        [name, hash, key] => {
            let kind = name.strip_prefix("hmac-").and_then(DigestKind::of);
            let kind = kind.ok_or(HashRefusal::UnknownFormat)?;
            // The hash is base64 of hexadecimal text.
            let hash = base64(hash).and_then(|hash| hex(std::str::from_utf8(&hash).ok()?));
            let (Some(hash), Some(key)) = (hash, base64(key)) else {
                return Err(HashRefusal::Malformed("HMAC"));
            };
            FastHash::hmac(kind, &key, hash)
        }
        _ => Err(HashRefusal::UnknownFormat),
    }
}

/// Parses Ory Kratos's digests: `pf=` is a template in base64 with one `{PASSWORD}` and any number of `{SALT}`.
fn parse_ordered(kind: DigestKind, order: &str, salt: &str, hash: &str) -> Result<FastHash, HashRefusal> {
    let read = || {
        let order = String::from_utf8(base64(order.strip_prefix("pf=")?)?).ok()?;
        let (before, after) = order.split_once("{PASSWORD}")?;
        let salt = base64(salt)?;
        let fill = |text: &str| text.split("{SALT}").map(str::as_bytes).collect::<Vec<_>>().join(&salt[..]);
        (!after.contains("{PASSWORD}")).then_some((fill(before), fill(after), base64(hash)?))
    };
    let (before, after, hash) = read().ok_or(HashRefusal::Malformed(kind.name()))?;
    FastHash::plain(kind, (&before, &after), hash)
}

/// Parses the strings of Django and Werkzeug, which begin with a name.
fn parse_named(text: &str, parts: &[&str]) -> Result<Parsed, HashRefusal> {
    let stored = match *parts {
        ["argon2", ..] => checked::argon2(text.strip_prefix("argon2").unwrap_or(text)),
        ["bcrypt", "", "2a" | "2b" | "2y", cost, rest] => checked::bcrypt(cost, rest, BcryptInput::Password),
        ["bcrypt_sha256", "", "2a" | "2b" | "2y", cost, rest] => {
            checked::bcrypt(cost, rest, BcryptInput::DjangoSha256)
        }
        [name, iterations, salt, hash] => {
            let digest = name.strip_prefix("pbkdf2_").and_then(DigestKind::of);
            let digest = digest.ok_or(HashRefusal::UnknownFormat)?;
            let hash = base64(hash).ok_or(HashRefusal::Malformed("PBKDF2"))?;
            checked::pbkdf2(digest, number(iterations, "PBKDF2")?, salt.as_bytes().to_vec(), hash)
        }
        ["scrypt", n, salt, r, p, hash] => {
            let hash = base64(hash).ok_or(HashRefusal::Malformed("scrypt"))?;
            scrypt_of_n([n, r, p], salt, hash)
        }
        [method, salt, hash] if method.contains(':') => parse_werkzeug(method, salt, hash),
        [name @ ("md5" | "sha1"), salt, hash] => {
            // Django: the digest of salt and password.
            let kind = DigestKind::of(name).ok_or(HashRefusal::UnknownFormat)?;
            let hash = hex(hash).ok_or(HashRefusal::Malformed(kind.name()))?;
            return FastHash::plain(kind, (salt.as_bytes(), b""), hash).map(Parsed::Fast);
        }
        [name @ ("sha224" | "sha256" | "sha384" | "sha512"), salt, hash] => {
            // Werkzeug before 2.3: HMAC with the salt as the key.
            let kind = DigestKind::of(name).ok_or(HashRefusal::UnknownFormat)?;
            let hash = hex(hash).ok_or(HashRefusal::Malformed("HMAC"))?;
            return FastHash::hmac(kind, salt.as_bytes(), hash).map(Parsed::Fast);
        }
        _ => Err(HashRefusal::UnknownFormat),
    };
    stored.map(Parsed::Stored)
}

/// Parses `scrypt:N:r:p` and `pbkdf2:sha256:iterations`; the hash is hexadecimal.
fn parse_werkzeug(method: &str, salt: &str, hash: &str) -> Result<StoredHash, HashRefusal> {
    let method: Vec<&str> = method.split(':').collect();
    match *method {
        ["scrypt", n, r, p] => {
            scrypt_of_n([n, r, p], salt, hex(hash).ok_or(HashRefusal::Malformed("scrypt"))?)
        }
        ["pbkdf2", digest, iterations] => {
            let digest = DigestKind::of(digest).ok_or(HashRefusal::UnknownFormat)?;
            let hash = hex(hash).ok_or(HashRefusal::Malformed("PBKDF2"))?;
            checked::pbkdf2(digest, number(iterations, "PBKDF2")?, salt.as_bytes().to_vec(), hash)
        }
        _ => Err(HashRefusal::UnknownFormat),
    }
}

fn scrypt_of_n(params: [&str; 3], salt: &str, hash: Vec<u8>) -> Result<StoredHash, HashRefusal> {
    let [n, r, p] = params.map(|param| number(param, "scrypt"));
    checked::scrypt([checked::log2_of(n?)?, r?, p?], salt.as_bytes().to_vec(), hash)
}

fn parse_scrypt(params: &str, salt: &str, hash: &str) -> Result<StoredHash, HashRefusal> {
    let malformed = HashRefusal::Malformed("scrypt");
    let [ln, r, p] = numbers(params, ["ln", "r", "p"], "scrypt")?;
    let (salt, hash) = (base64(salt).ok_or(malformed)?, base64(hash).ok_or(malformed)?);
    let ln = if ln < LN_BELOW { ln } else { checked::log2_of(ln)? };
    checked::scrypt([ln, r, p], salt, hash)
}

/// Parses `$7$` of crypt(3): N is one character, r and p are five characters each, the salt is text.
fn parse_escrypt(setting: &str, hash: &str) -> Result<StoredHash, HashRefusal> {
    let malformed = HashRefusal::Malformed("scrypt");
    let value = |text: &str| {
        text.bytes().rev().try_fold(0_u32, |value, digit| Some(value << 6 | crypt64_value(digit)?))
    };
    let read = || {
        let (n, rest) = setting.split_at_checked(1)?;
        let (r, rest) = rest.split_at_checked(5)?;
        let (p, salt) = rest.split_at_checked(5)?;
        Some(([value(n)?, value(r)?, value(p)?], salt.as_bytes().to_vec(), crypt64(hash)?))
    };
    let (params, salt, hash) = read().ok_or(malformed)?;
    checked::scrypt(params, salt, hash)
}

fn parse_pbkdf2(digest: DigestKind, params: &str, salt: &str, hash: &str) -> Result<StoredHash, HashRefusal> {
    let malformed = HashRefusal::Malformed("PBKDF2");
    let (salt, hash) = (base64_passlib(salt).ok_or(malformed)?, base64_passlib(hash).ok_or(malformed)?);
    let iterations = parse_pbkdf2_params(params, hash.len())?;
    checked::pbkdf2(digest, iterations, salt, hash)
}

/// Parses `i=1000,l=32`, `i=1000`, or only the number.
fn parse_pbkdf2_params(params: &str, hash_length: usize) -> Result<u32, HashRefusal> {
    if !params.contains('=') {
        return number(params, "PBKDF2");
    }
    if !params.contains(',') {
        return numbers(params, ["i"], "PBKDF2").map(|[iterations]| iterations);
    }
    let [iterations, length] = numbers(params, ["i", "l"], "PBKDF2")?;
    if usize::try_from(length) == Ok(hash_length) {
        Ok(iterations)
    } else {
        Err(HashRefusal::Malformed("PBKDF2"))
    }
}

/// Parses passlib's `v=2,t=2b,r=12` or, of its first version, `2b,12`.
fn parse_bcrypt_sha256(params: &str, salt: &str, hash: &str) -> Result<StoredHash, HashRefusal> {
    let malformed = HashRefusal::Malformed("bcrypt");
    let params: Vec<&str> = params.split(',').collect();
    let (cost, input) = match *params {
        ["v=2", "t=2b" | "t=2a" | "t=2y", cost] => {
            (cost.strip_prefix("r=").ok_or(malformed)?, BcryptInput::PasslibHmac(salt.to_owned()))
        }
        ["2b" | "2a" | "2y", cost] => (cost, BcryptInput::PasslibSha256),
        _ => return Err(malformed),
    };
    if salt.len() != 22 {
        return Err(malformed);
    }
    checked::bcrypt(cost, &format!("{salt}{hash}"), input)
}

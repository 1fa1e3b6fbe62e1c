//! The iterated digests of crypt(3): sha256-crypt, sha512-crypt (Drepper, "Unix crypt using SHA-256 and SHA-512") and
//! md5-crypt with Apache's variant.

use super::digest::DigestKind;
use super::text::{crypt64_value, number, push_crypt64};
use crate::crypto::hash_refusal::HashRefusal;

const SHA_ROUNDS: u32 = 5_000;
const MIN_SHA_ROUNDS: u32 = 1_000;
/// These rounds take about a second with the longest password.
const MAX_SHA_ROUNDS: u32 = 1_000_000;
const MAX_SHA_SALT: usize = 16;
const MAX_MD5_SALT: usize = 8;
const MD5_ROUNDS: u32 = 1_000;
/// Each round hashes the password, so the time is proportional to its length. Longer passwords do not match.
pub(in crate::crypto) const MAX_PASSWORD: usize = 256;

/// sha256-crypt or sha512-crypt.
#[derive(Clone, PartialEq)]
pub(in crate::crypto) struct ShaCrypt {
    digest: DigestKind,
    rounds: u32,
    salt: String,
    /// Encoded.
    hash: String,
}

impl ShaCrypt {
    pub(in crate::crypto) fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Parses `rounds=N$salt$hash` or `salt$hash`, the text after `$5$` or `$6$`.
    pub(in crate::crypto) fn parse(digest: DigestKind, parts: &[&str]) -> Result<Self, HashRefusal> {
        let malformed = HashRefusal::Malformed("SHA-crypt");
        let (rounds, salt, hash) = match *parts {
            [rounds, salt, hash] => {
                let rounds = rounds.strip_prefix("rounds=").ok_or(malformed)?;
                (number(rounds, "SHA-crypt")?, salt, hash)
            }
            [salt, hash] => (SHA_ROUNDS, salt, hash),
            _ => return Err(malformed),
        };
        if rounds > MAX_SHA_ROUNDS {
            return Err(HashRefusal::TooCostly);
        }
        let length = if digest == DigestKind::Sha512 { 86 } else { 43 };
        if rounds < MIN_SHA_ROUNDS || salt.len() > MAX_SHA_SALT || !is_crypt64(hash, length) {
            return Err(malformed);
        }
        Ok(Self { digest, rounds, salt: salt.to_owned(), hash: hash.to_owned() })
    }

    /// Returns the encoded hash of the password and the expected one; `None` if the password is too long.
    pub(in crate::crypto) fn compute(&self, password: &[u8]) -> Option<(String, &str)> {
        if password.len() > MAX_PASSWORD {
            return None;
        }
        let digest = |parts: &[&[u8]]| self.digest.hash(parts);
        let salt = self.salt.as_bytes();
        let alternate = digest(&[password, salt, password]);
        let filler = repeat(&alternate, password.len());
        let mut parts: Vec<&[u8]> = vec![password, salt, &filler];
        let mut length = password.len();
        while length > 0 {
            parts.push(if length & 1 == 1 { &alternate } else { password });
            length >>= 1;
        }
        let mut state = digest(&parts);
        let password_bytes = repeat(&digest(&vec![password; password.len()]), password.len());
        let salt_repeats = 16 + usize::from(state.first().copied().unwrap_or(0));
        let salt_bytes = repeat(&digest(&vec![salt; salt_repeats]), salt.len());
        for round in 0..self.rounds {
            state = digest(&round_parts(round, &state, &password_bytes, &salt_bytes));
        }
        Some((encode_sha(self.digest, &state), &self.hash))
    }
}

/// The input of a round, which is the same in all three functions.
fn round_parts<'a>(round: u32, state: &'a [u8], password: &'a [u8], salt: &'a [u8]) -> Vec<&'a [u8]> {
    let odd = round & 1 == 1;
    let mut parts = Vec::with_capacity(4);
    parts.push(if odd { password } else { state });
    if !round.is_multiple_of(3) {
        parts.push(salt);
    }
    if !round.is_multiple_of(7) {
        parts.push(password);
    }
    parts.push(if odd { state } else { password });
    parts
}

fn repeat(bytes: &[u8], length: usize) -> Vec<u8> {
    bytes.iter().copied().cycle().take(length).collect()
}

fn is_crypt64(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|character| crypt64_value(character).is_some())
}

/// Encodes the bytes in crypt's order: each group has one byte of each third of the digest, beginning with a different
/// third.
fn encode_sha(digest: DigestKind, bytes: &[u8]) -> String {
    let mut text = String::new();
    let at = |place: usize| bytes.get(place).copied().unwrap_or(0);
    if digest == DigestKind::Sha512 {
        for group in 0..21 {
            let places = [group, group + 21, group + 42];
            push_crypt64(&mut text, [0, 1, 2].map(|place| at(places[(group + place) % 3])), 4);
        }
        push_crypt64(&mut text, [0, 0, at(63)], 2);
    } else {
        for group in 0..10 {
            let places = [group, group + 10, group + 20];
            let lead = 3 - group % 3;
            push_crypt64(&mut text, [0, 1, 2].map(|place| at(places[(lead + place) % 3])), 4);
        }
        push_crypt64(&mut text, [0, at(31), at(30)], 3);
    }
    text
}

/// `$1$` and `$apr1$`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::crypto) struct Md5Crypt {
    pub(in crate::crypto) magic: &'static str,
    pub(in crate::crypto) salt: String,
}

impl Md5Crypt {
    /// Returns the parameters and the encoded hash.
    pub(in crate::crypto) fn parse(
        name: &str,
        salt: &str,
        hash: &str,
    ) -> Result<(Self, Vec<u8>), HashRefusal> {
        let magic = if name == "apr1" { "$apr1$" } else { "$1$" };
        if salt.len() > MAX_MD5_SALT || !is_crypt64(hash, 22) {
            return Err(HashRefusal::Malformed("MD5-crypt"));
        }
        Ok((Self { magic, salt: salt.to_owned() }, hash.as_bytes().to_vec()))
    }

    /// The encoded hash.
    pub(in crate::crypto) fn compute(&self, password: &[u8]) -> String {
        let digest = |parts: &[&[u8]]| DigestKind::Md5.hash(parts);
        let salt = self.salt.as_bytes();
        let filler = repeat(&digest(&[password, salt, password]), password.len());
        let first = password.first().map(std::slice::from_ref).unwrap_or_default();
        let mut parts: Vec<&[u8]> = vec![password, self.magic.as_bytes(), salt, &filler];
        let mut length = password.len();
        while length > 0 {
            parts.push(if length & 1 == 1 { &[0] } else { first });
            length >>= 1;
        }
        let mut state = digest(&parts);
        for round in 0..MD5_ROUNDS {
            state = digest(&round_parts(round, &state, password, salt));
        }
        let at = |place: usize| state.get(place).copied().unwrap_or(0);
        let mut text = String::new();
        for group in 0..4 {
            push_crypt64(&mut text, [at(group), at(group + 6), at(group + 12)], 4);
        }
        push_crypt64(&mut text, [at(4), at(10), at(5)], 4);
        push_crypt64(&mut text, [0, 0, at(11)], 2);
        text
    }
}

//! Accounts of `firebase auth:export`, JSON or CSV.

use std::io::{self, BufRead, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use latchkey_exports::Fields;

use super::fields::full_name;
use crate::domain::PasswordHash;
use crate::service::imports::record::ImportRecord;

/// The first columns of the CSV file, which has no header. Columns without a name are not read.
pub(super) const COLUMNS: [&str; 27] = [
    "localId",
    "email",
    "emailVerified",
    "passwordHash",
    "salt",
    "displayName",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "disabled",
];

/// The longest text of the parameters, in bytes.
const MAX_CONFIG: u64 = 4096;

/// The parameters of a project's password hashes.
#[derive(Clone)]
pub struct HashConfig {
    signer_key: String,
    salt_separator: String,
    rounds: u32,
    mem_cost: u32,
}

impl std::fmt::Debug for HashConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why the parameters cannot be read. `Display` never contains a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashConfigError {
    #[error("the algorithm is not SCRYPT")]
    Algorithm,
    #[error("{0} is missing or not valid")]
    Member(&'static str),
}

impl HashConfig {
    /// Parses the text that the console shows (Authentication, Users, Password hash parameters), or the same as JSON.
    ///
    /// # Errors
    /// [`HashConfigError`]
    pub fn parse(text: &str) -> Result<Self, HashConfigError> {
        let value = |names: [&str; 2]| {
            text.split(['\n', ',', '{', '}']).find_map(|pair| {
                let (name, value) = pair.split_once(':')?;
                let plain = |text: &str| text.trim().trim_matches('"').to_owned();
                names.contains(&plain(name).as_str()).then(|| plain(value))
            })
        };
        if value(["algorithm"; 2]).is_some_and(|algorithm| algorithm != "SCRYPT") {
            return Err(HashConfigError::Algorithm);
        }
        let bytes = |name, names| {
            let bytes = value(names).and_then(|text| decode(&text));
            bytes.map(|bytes| STANDARD.encode(bytes)).ok_or(HashConfigError::Member(name))
        };
        let number = |name, names| {
            value(names).and_then(|text| text.parse().ok()).ok_or(HashConfigError::Member(name))
        };
        Ok(Self {
            signer_key: bytes("base64_signer_key", ["base64_signer_key", "signerKey"])?,
            salt_separator: bytes("base64_salt_separator", ["base64_salt_separator", "saltSeparator"])?,
            rounds: number("rounds", ["rounds"; 2])?,
            mem_cost: number("mem_cost", ["mem_cost", "memoryCost"])?,
        })
    }
}

/// Reads the parameters if the file begins with them, as the console shows them, so that standard input can contain both.
pub(super) fn read_leading_config(input: &mut impl BufRead) -> io::Result<Option<HashConfig>> {
    if !input.fill_buf()?.starts_with(b"hash_config") {
        return Ok(None);
    }
    let mut text = Vec::new();
    input.by_ref().take(MAX_CONFIG).read_until(b'}', &mut text)?;
    // The rest of the line is not a row of a CSV file.
    input.by_ref().take(MAX_CONFIG).read_until(b'\n', &mut Vec::new())?;
    let config = HashConfig::parse(&String::from_utf8_lossy(&text));
    config.map(Some).map_err(|error| {
        let reason = format!("it does not have the password hash parameters: {error}");
        io::Error::new(io::ErrorKind::InvalidData, reason)
    })
}

fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

pub(super) fn convert(user: Fields<'_>, hashes: Option<&HashConfig>) -> Result<ImportRecord, String> {
    Ok(ImportRecord {
        username: None,
        email: user.owned("email"),
        name: full_name(&[user.text("displayName")]),
        password_hash: user.text("passwordHash").map(|hash| password_hash(user, hash, hashes)).transpose()?,
        is_superuser: None,
        is_active: user.flag("disabled")?.map(|disabled| !disabled),
        email_verified: user.flag("emailVerified")?,
        locale: None,
        groups: Vec::new(),
    })
}

/// Returns the hash in the format of Ory Kratos, which includes the parameters.
fn password_hash(user: Fields<'_>, hash: &str, hashes: Option<&HashConfig>) -> Result<PasswordHash, String> {
    let hashes = hashes.ok_or("has a password hash, but its parameters were not given (--hash-config)")?;
    let hash = decode(hash).ok_or("passwordHash is not base64")?;
    let salt = user.text("salt").and_then(decode).ok_or("salt is missing or not base64")?;
    let HashConfig { signer_key, salt_separator, rounds, mem_cost } = hashes;
    let (salt, hash) = (STANDARD.encode(salt), STANDARD.encode(hash));
    Ok(PasswordHash::new(format!(
        "$firescrypt$ln={mem_cost},r={rounds},p=1${salt}${hash}${salt_separator}${signer_key}"
    )))
}

//! The registry as a whole.

use std::collections::HashSet;
use std::io::Read as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use crate::client::Client;

/// The number of the format that this crate writes and reads. A change that an older server must not overlook raises it.
pub const FORMAT: u32 = 1;
/// The maximum number of clients.
pub const MAX_CLIENTS: usize = 5_000;

/// The maximum size of the JSON text, in bytes: a compressed file cannot fill the memory.
const MAX_TEXT: u64 = 16 * 1024 * 1024;
/// The first bytes of a gzip file (RFC 1952 §2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why a registry is refused. The messages contain no digests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The file is compressed and damaged, or too large.
    #[error("the client registry is damaged or larger than 16 MiB")]
    Damaged,
    /// The text is not a registry.
    #[error("the client registry is not valid at line {line}, column {column}")]
    Malformed {
        /// The line of the first fault, from 1.
        line: usize,
        /// The column of the first fault.
        column: usize,
    },
    /// The format is unknown.
    #[error("the client registry has format {0}, which this version does not know")]
    Format(u32),
    /// There are more than [`MAX_CLIENTS`].
    #[error("the client registry has more than {MAX_CLIENTS} clients")]
    TooMany,
    /// One client breaks a rule.
    #[error("client `{client_id}` {reason}")]
    Client {
        /// Its id.
        client_id: String,
        /// The rest of the sentence.
        reason: String,
    },
    /// Two clients have one id, or two credentials do.
    #[error("client `{0}` shares its id or the id of a credential with another one")]
    Duplicate(String),
}

/// A valid registry: each client follows the rules, and ids are unique.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Registry {
    format: u32,
    serial: u64,
    clients: Vec<Client>,
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

#[derive(Deserialize)]
struct Unchecked {
    serial: u64,
    clients: Vec<Client>,
}

impl Registry {
    /// A registry with these clients. `serial` is higher than that of every registry that it replaces.
    ///
    /// # Errors
    /// The first violated rule.
    pub fn new(serial: u64, clients: Vec<Client>) -> Result<Self, RegistryError> {
        if clients.len() > MAX_CLIENTS {
            return Err(RegistryError::TooMany);
        }
        let (mut ids, mut credentials) = (HashSet::new(), HashSet::new());
        for client in &clients {
            if let Some(reason) = client.fault() {
                return Err(RegistryError::Client { client_id: client.client_id.clone(), reason });
            }
            let is_new = ids.insert(client.client_id.as_str())
                && client.credentials.iter().all(|credential| credentials.insert(credential.id));
            if !is_new {
                return Err(RegistryError::Duplicate(client.client_id.clone()));
            }
        }
        Ok(Self { format: FORMAT, serial, clients })
    }

    /// Parses a registry from JSON or from JSON compressed with gzip.
    ///
    /// # Errors
    /// The first violated rule. The message contains no digest.
    pub fn parse(bytes: &[u8]) -> Result<Self, RegistryError> {
        if !bytes.starts_with(&GZIP) {
            return Self::parse_json(bytes);
        }
        let mut text = Vec::new();
        let read = GzDecoder::new(bytes).take(MAX_TEXT + 1).read_to_end(&mut text);
        if read.is_err() || text.len() as u64 > MAX_TEXT {
            return Err(RegistryError::Damaged);
        }
        Self::parse_json(&text)
    }

    fn parse_json(text: &[u8]) -> Result<Self, RegistryError> {
        // The message of the parser could quote a digest.
        let malformed = |error: serde_json::Error| RegistryError::Malformed {
            line: error.line(),
            column: error.column(),
        };
        let head: Head = serde_json::from_slice(text).map_err(malformed)?;
        if head.format != FORMAT {
            return Err(RegistryError::Format(head.format));
        }
        let Unchecked { serial, clients } = serde_json::from_slice(text).map_err(malformed)?;
        Self::new(serial, clients)
    }

    /// The registry as JSON.
    pub fn to_json(&self) -> String {
        // Serialising structs of strings and numbers cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The registry as JSON compressed with gzip. The same registry always has the same bytes.
    pub fn to_gzip(&self) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory cannot fail.
        encoder.write_all(self.to_json().as_bytes()).and_then(|()| encoder.finish()).unwrap_or_default()
    }

    /// Rises with each registry of an AuthService.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The clients in their order.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }
}

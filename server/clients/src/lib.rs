//! The registry of OAuth clients: the operator renders it from `AuthClient` resources, the server reads it
//! (`CLIENTS_FILE`).
//!
//! `{"format": 1, "serial": 7, "clients": [{"client_id": "orders", "type": "confidential", …}]}`, as JSON or compressed with
//! gzip: five thousand clients have to fit in one Secret. It contains digests of client secrets, never the secrets.
//! [`Registry::parse`] accepts a registry only if all of its clients follow the rules of [`rules`].

mod claims;
mod client;
mod public_key;
mod registry;
pub mod rules;

pub use claims::{ClaimFormat, ClaimValue, GroupClaim};
pub use client::{Client, ClientType, Credential, CredentialKind, GrantType, SecretDigest};
pub use public_key::{KeyAlgorithm, PublicKey};
pub use registry::{FORMAT, MAX_CLIENTS, Registry, RegistryError};

//! The private JWK Set (RFC 7517 §5) that the operator generates and the server signs with.
//!
//! `{"keys": [{…private JWK…, "kid", "alg", "use": "sig", "latchkey_phase": "active"}]}`; exactly one key is
//! `active`. Keys and the set may have `latchkey_notes` of the operator. [`PrivateKeySet::parse`] accepts a set only
//! if each private key can be loaded and matches its public key.

mod generate;
mod jwk;
mod notes;
mod set;

pub use generate::generate;
pub use jwk::{Algorithm, Phase, PrivateJwk, PublicJwk, PublicKeySet};
pub use notes::{DEFAULT_MAX_AGE, KeyNotes, SetNotes};
pub use set::{KeySetError, PrivateKeySet};

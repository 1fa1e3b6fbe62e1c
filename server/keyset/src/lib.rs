//! The private JWK Set (RFC 7517 §5) that the operator makes and the server signs with.
//!
//! `{"keys": [{…private JWK…, "kid", "alg", "use": "sig", "latchkey_phase": "active"}]}`; exactly one key is
//! `active`. Keys and set may carry `latchkey_notes`, which are the operator's. A set that [`PrivateKeySet::parse`] accepts can sign and verify: each private part was loaded and
//! compared with its public part.

mod generate;
mod jwk;
mod notes;
mod set;

pub use generate::generate;
pub use jwk::{Algorithm, Phase, PrivateJwk, PublicJwk, PublicKeySet};
pub use notes::{DEFAULT_MAX_AGE, KeyNotes, SetNotes};
pub use set::{KeySetError, PrivateKeySet};

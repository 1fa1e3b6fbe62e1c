//! Password hashing, signing keys, tokens.

mod client_secret;
mod hashing;
mod key_ring;
mod one_time;
mod stored_hash;
mod tokens;

pub use client_secret::ClientSecret;
pub use hashing::{HashError, HashPool};
pub use key_ring::{KeyRing, LoadedKey};
pub use one_time::OneTimeSecret;
pub use stored_hash::ForeignHash;
pub use tokens::{TokenError, TokenIssuer, TokenKind, TokenVerifier, VerifiedToken};

/// Makes aws-lc-rs the provider of rustls; called first in `main`. jsonwebtoken takes it from its feature.
/// Calling it again does nothing.
pub fn install_provider() {
    // The error only says that a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

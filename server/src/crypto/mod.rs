//! Password hashing, signing keys and tokens.

mod client_assertion;
mod client_secret;
mod client_token;
mod feed_signer;
mod foreign_hash;
#[cfg(any(test, fuzzing))]
pub mod fuzz_targets;
mod hash_durations;
mod hash_formats;
mod hash_functions;
mod hash_queue;
mod hash_refusal;
mod hash_threads;
mod hashing;
mod key_ring;
mod one_time;
mod person_claims;
mod sealing;
mod stored_hash;
mod token_cache;
mod token_issuer;
mod token_verifier;
mod tokens;

pub use client_assertion::{UnverifiedAssertion, assertion_id};
pub use client_secret::{ClientSecret, PresentedSecret};
pub use client_token::{Act, Actors, ClientGrant, ClientToken, ExchangeGrant, ExchangedToken, TokenOwner};
pub use feed_signer::FeedSigner;
pub use foreign_hash::ForeignHash;
pub use hashing::{HashError, HashPool};
pub use key_ring::{KeyRing, LoadedKey};
pub use one_time::OneTimeSecret;
pub use person_claims::PersonClaims;
pub use sealing::ServiceAccountToken;
pub use token_issuer::TokenIssuer;
pub use token_verifier::TokenVerifier;
pub use tokens::{SessionToken, TokenError, TokenKind, VerifiedToken};

/// Makes aws-lc-rs the crypto provider of rustls. `main` calls it first; further calls have no effect. jsonwebtoken
/// selects its provider by a Cargo feature.
pub fn install_provider() {
    // The only error is that a provider is already installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

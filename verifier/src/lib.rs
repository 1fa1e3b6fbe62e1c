//! Verifies Latchkey's access tokens without a request for each one.
//!
//! A [`Verifier`] fetches the public keys, checks the signature and the claims of each token itself (RFC 9068 §4), and, if it
//! is given a client, follows the feed of revocations. [`Verifier::layer`] is a [`tower::Layer`] for servers such as axum;
//! `examples/axum.rs` uses it.
//!
//! It fails closed: without keys, or if the feed has not been heard of for longer than [`Builder::max_staleness`],
//! requests are answered with 503.
//!
//! What it knows may be this old:
//!
//! | | usually | at most |
//! |---|---|---|
//! | an ended session, with the feed | half a second | [`Builder::max_staleness`], 30 s by default |
//! | the same, without the feed | | the lifetime of the access token |
//! | a key that was revoked | | [`Builder::keys_interval`], 5 min by default; [`Builder::keys_max_age`] if the keys cannot be fetched |
//! | a new key | it is fetched when the first token names it | 10 s |

mod error;
mod feed;
mod keys;
mod layer;
mod revocations;
mod token;
mod verifier;

pub use error::Refusal;
pub use feed::FeedClient;
pub use layer::{Layer, Service};
pub use token::Token;
pub use verifier::{Builder, Verifier};

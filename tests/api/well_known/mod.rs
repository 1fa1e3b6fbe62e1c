//! `/.well-known/…`

mod jwks;

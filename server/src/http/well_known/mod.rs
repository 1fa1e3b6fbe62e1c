//! `/.well-known`

pub mod jwks;

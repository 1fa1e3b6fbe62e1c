//! `/.well-known`

pub mod authorization_server;
pub mod jwks;

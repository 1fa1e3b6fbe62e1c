//! The Latchkey auth server.
//!
//! `http -> service -> {store, revocation, crypto, mail} -> domain`: an HTTP handler calls one use case, a use
//! case works with the four modules that do I/O, and the rules themselves are in `domain`, which does none.

pub mod app;
pub mod check;
pub mod commands;
pub mod crypto;
pub mod domain;
pub mod http;
pub mod mail;
pub mod metrics;
pub mod readiness;
pub mod revocation;
pub mod secrets;
pub mod service;
pub mod store;
pub mod telemetry;

//! The Latchkey auth server.
//!
//! `http -> service -> {store, revocation, limits, crypto, mail} -> domain`: an HTTP handler calls one use case, a
//! use case works with the five modules that do I/O, and the rules themselves are in `domain`, which does none.

#![allow(missing_docs, reason = "the library serves only the program of this crate")]

pub mod app;
pub mod audit_log;
pub mod check;
pub mod commands;
pub mod crypto;
pub mod domain;
pub mod http;
pub mod limits;
pub mod login_probe;
pub mod mail;
pub mod metrics;
pub mod readiness;
pub mod redis_connection;
pub mod revocation;
pub mod secrets;
pub mod service;
pub mod start_inputs;
pub mod store;
pub mod telemetry;
pub mod trusted_roots;

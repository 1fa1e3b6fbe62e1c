//! The Latchkey auth server.
//!
//! `http -> service -> {store, revocation, limits, crypto, mail} -> domain`: an HTTP handler calls one use case, a
//! use case works with the five modules that do I/O, and the rules themselves are in `domain`, which does none.

mod app;
mod audit_log;
mod batches;
mod cgroup;
mod check;
mod cli;
mod client_registry;
mod commands;
mod crypto;
mod database_url;
mod domain;
#[cfg(any(test, fuzzing))]
mod fuzz_targets;
mod http;
mod limits;
mod login_probe;
mod mail;
mod metrics;
mod open_files;
mod readiness;
mod redis_connection;
mod revocation;
mod secrets;
mod service;
mod start_inputs;
mod store;
mod telemetry;
mod token_review;
mod trusted_roots;
mod watches;

pub use cli::run;
#[cfg(fuzzing)]
pub use fuzz_targets::TARGETS;

//! The Latchkey operator: keeps what every `AuthService` asks for running.
//!
//! `auth_service` holds the reconciler, which reads as one sentence: dereference -> validate -> build -> apply
//! -> status. Only `dereference`, `apply` and `status` ever see a client; everything between them is pure.

pub mod arguments;
pub mod auth_service;
pub mod bursts;
pub mod cache;
pub mod causes;
pub mod clients;
pub mod complaints;
pub mod context;
pub mod credentials;
pub mod echoes;
pub mod fence;
pub mod fingerprint;
pub mod kept;
pub mod kinds;
pub mod leader;
pub mod lease;
pub mod lenient;
pub mod metrics;
pub mod named_secrets;
pub mod names;
pub mod observed;
pub mod orphan;
pub mod repairs;
pub mod run;
pub mod server;
pub mod shelf;
pub mod signing_keys;
pub mod turns;
pub mod watches;

//! The Latchkey operator: reconciles `AuthService` resources.
//!
//! [`run`] connects the parts. `cluster` holds what the API server last returned, `controller` decides when a
//! reconcile runs, and `auth_service` is the reconciler: dereference -> validate -> render -> apply -> status. Only
//! `dereference`, `apply` and `status` use a client; the steps between them are pure functions.

#![allow(missing_docs, reason = "the library serves only the program of this crate")]

pub mod cli;
pub mod run;

mod auth_service;
mod cluster;
mod controller;
mod credentials;
mod error_chain;
mod fingerprint;
mod label_selector;
mod metrics;
mod names;
mod responsibility;
mod signing_keys;

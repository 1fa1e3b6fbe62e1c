//! The Latchkey operator: reconciles `AuthService` and `AuthClient` resources.
//!
//! [`run`] connects the parts. `cluster` holds what the API server last returned, `controller` decides when a
//! reconcile runs, and `auth_service` and `auth_client` are the reconcilers: dereference -> validate -> render -> apply
//! -> status. Only `dereference`, `apply` and `status` use a client; the steps between them are pure functions. The two
//! reconcilers meet in `registrations`.

#![allow(missing_docs, reason = "the library serves only the program of this crate")]

pub mod cli;
pub mod run;

mod auth_client;
mod auth_service;
mod cluster;
mod controller;
mod credentials;
mod error_chain;
mod event_note;
mod fingerprint;
mod label_selector;
mod metrics;
mod names;
mod registrations;
mod responsibility;
mod signing_keys;

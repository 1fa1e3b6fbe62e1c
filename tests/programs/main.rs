//! Latchkey with third-party programs: proxies that authenticate requests, libraries that verify tokens, and a tester
//! of its OpenAPI document.
#![expect(clippy::unwrap_used, reason = "a test and its helper functions fail with a panic")]

mod forward_auth;
mod oauth_clients;
mod path_prefix;
mod postgres_versions;
mod schemathesis;
mod spring;
mod valkey;
mod verifiers;

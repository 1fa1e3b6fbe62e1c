//! Latchkey with third-party programs: proxies and gateways that authenticate requests, Kubernetes and Prometheus,
//! libraries that request and verify tokens, and a tester of its OpenAPI document.
#![expect(clippy::unwrap_used, reason = "a test and its helper functions fail with a panic")]

mod client_credentials;
mod forward_auth;
mod gateways;
mod https;
mod kubernetes;
mod oauth_clients;
mod offline_verifiers;
mod path_prefix;
mod postgres_versions;
mod prometheus;
mod schemathesis;
mod spring;
mod valkey;
mod verifiers;

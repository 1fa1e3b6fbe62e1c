//! Latchkey with programs that nobody here wrote: proxies that ask it, libraries that verify its tokens, a tester
//! that takes its OpenAPI document at its word.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its own functions too")]

mod forward_auth;
mod oauth_clients;
mod path_prefix;
mod schemathesis;
mod spring;
mod verifiers;

//! When a reconcile runs: leader election, debouncing, the limits on concurrent reconciles, and the health endpoints.

pub(crate) mod concurrency;
pub(crate) mod debounce;
pub(crate) mod health;
pub(crate) mod leader;
pub(crate) mod lease;

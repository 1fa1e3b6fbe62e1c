//! The management port.

mod livez;
mod login;
mod metrics;
mod readyz;
mod status;

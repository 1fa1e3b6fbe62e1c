//! The management port.

mod livez;
mod metrics;
mod readyz;
mod status;

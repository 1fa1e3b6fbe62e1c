//! The management port.

mod livez;
mod login_probe;
mod metrics;
mod readyz;
mod startup;
mod status;

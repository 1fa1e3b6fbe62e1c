//! Starts the real parts that the tests run against: PostgreSQL, Redis, an SMTP server, the auth server.
//!
//! Everything here listens on 127.0.0.1 on a free port, keeps its files in a temporary folder and ends with
//! the test process, however that ends. Nothing here is a stand-in: a test sees what a user would see.
#![expect(
    clippy::missing_panics_doc,
    reason = "a part that does not start fails its test by panicking, everywhere in this crate"
)]

pub mod answer;
pub mod app;
pub mod audit;
pub mod authority;
pub mod blackhole;
pub mod chart;
pub mod cluster;
pub mod collector;
pub mod control_plane;
pub mod forged_tokens;
pub mod key_set;
pub mod link;
pub mod logs;
pub mod monitoring;
pub mod operator;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod proxies;
pub mod query_plans;
pub mod redis;
pub mod redis_cluster;
pub mod redis_sentinel;
pub mod scratch;
pub mod scripted_smtp;
pub mod server;
pub mod smtp;
pub mod status_port;
pub mod wait;
pub mod wire;

#[cfg(test)]
mod tests;

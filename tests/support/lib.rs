//! Starts the programs that the tests run against: the auth server and the operator, PostgreSQL, Redis, an SMTP
//! server, an API server of Kubernetes.
//!
//! Each listens on a free port of 127.0.0.1, stores its files in a temporary folder and ends with the test process,
//! even if that is killed. None is a mock: a test observes what a user would observe.
#![expect(
    clippy::missing_panics_doc,
    reason = "a program that does not start fails its test with a panic, everywhere in this crate"
)]

pub mod answer;
pub mod app;
pub mod audit;
pub mod authority;
pub mod blackhole;
pub mod chart;
pub mod client_keys;
pub mod clients_file;
pub mod cluster;
pub mod collector;
pub mod control_plane;
pub mod documentation;
pub mod forged_tokens;
pub mod key_set;
pub mod kubelet;
pub mod kubelet_logs;
pub mod link;
pub mod logs;
pub mod monitoring;
pub mod operator;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod proxies;
pub mod query_plans;
pub mod redis;
pub mod redis_cluster;
pub mod redis_sentinel;
pub mod round_trips;
pub mod scratch;
pub mod scripted_smtp;
pub mod server;
pub mod smtp;
pub mod status_port;
pub mod wait;
pub mod wire;
pub mod workloads;

#[cfg(test)]
mod tests;

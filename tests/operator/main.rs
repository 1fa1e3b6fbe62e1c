//! The operator on a real API server, with the rights and arguments that the chart gives it. There are no
//! nodes: controllers make pods, and the tests say what becomes of them.

mod autoscaling;
mod bounds;
mod crash;
mod create;
mod database_shared;
mod deletion;
mod drift;
mod embedded;
mod explain;
mod exposure;
mod fixture;
mod foreign_secrets;
mod keys;
mod kubelet;
mod leader;
mod login;
mod metrics;
mod migration;
mod monitoring;
mod network_policy;
mod others;
mod paused;
mod refused;
mod samples;
mod scale;
mod secrets;
mod spec;
mod status;
mod status_port;
mod steady;
mod stores;
mod strangers;
mod upgrade;
mod validation;
mod waiting;

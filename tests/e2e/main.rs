//! Latchkey on a real cluster: pods run, Services route, names resolve, volumes bind.
//!
//! All tests share one cluster and one release of the chart. Each has its own namespace, which enforces Pod Security
//! `restricted`. Requests are sent from a pod to the Service.

mod autoscaling;
mod client;
mod database_migration;
mod deletion;
mod embedded;
mod failover;
mod first_superuser;
mod install;
mod journey;
mod keys;
mod load;
mod monitoring;
mod namespace;
mod oauth_clients;
mod objects;
mod plugin;
mod pods;
mod poller;
mod prometheus;
mod release;
mod revocation;
mod rollout;
mod scale;
mod smtp_password;
mod steady_load;
mod stores;
mod uninstall;
mod waiting;
mod workload_identity;

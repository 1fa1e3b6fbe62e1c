//! The REST API from a client's view: one file per endpoint, in the layout of the routes, and one file per rule that
//! applies to all endpoints.
#![expect(clippy::unwrap_used, reason = "a test and its helper functions fail with a panic")]

mod audit;
mod auth;
mod bad_input;
mod bound_settings;
mod clocks;
mod cors;
mod docs;
mod ended_meanwhile;
mod errors;
mod header_bytes;
mod headers;
mod held_back;
mod housekeeping;
mod international_addresses;
mod keys;
mod limits;
mod logging;
mod mail;
mod mail_messages;
mod mail_replies;
mod mail_templates;
mod management;
mod overload;
mod pages;
mod plan_calls;
mod properties;
mod query_plans;
mod read_only_database;
mod redis_faults;
mod redis_topologies;
mod revocation;
mod revocation_identity;
mod revocation_outage;
mod revocation_unannounced;
mod shutdown;
mod slow_clients;
mod tokens;
mod tracing;
mod users;
mod well_known;

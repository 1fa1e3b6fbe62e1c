//! The REST API as its callers see it, one file for each endpoint, laid out as the routes are, and one for each
//! rule that all endpoints keep to.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its own functions too")]

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
mod tokens;
mod tracing;
mod users;
mod well_known;

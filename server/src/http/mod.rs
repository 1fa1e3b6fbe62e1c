//! The REST API: routes, extractors and responses.

mod arrival;
mod audit;
mod auth;
mod bearer;
mod body;
mod browser;
mod client_address;
mod client_auth;
pub mod connections;
mod content;
mod cookie;
mod cors;
mod docs;
mod form;
#[cfg(any(test, fuzzing))]
pub mod fuzz_targets;
mod groups;
mod languages;
pub mod management;
mod middleware;
mod oauth;
mod pages;
mod prefix;
mod problem;
mod problem_docs;
mod query;
mod router;
mod state;
pub mod tls;
mod token_pair;
mod users;
mod well_known;

pub use browser::BrowserPolicy;
pub use router::{api_router, management_router, openapi_document};
pub use state::{ApiState, SharedState};

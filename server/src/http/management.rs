//! `/livez`, `/readyz`, `/metrics` and `/status`, on the management port.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::{Deserialize, Serialize};

use super::connections::Connections;
use crate::client_registry::ClientRegistry;
use crate::metrics::Metrics;
use crate::readiness::{DatabasePool, Readiness, Report};
use crate::service::Service;

/// The state of the management port.
#[derive(Clone)]
pub struct ManagementState {
    /// Checks every dependency.
    pub readiness: Arc<Readiness>,
    pub metrics: Arc<Metrics>,
    /// The connections to the API port.
    pub connections: Arc<Connections>,
    pub service: Arc<Service>,
    pub clients: Arc<ClientRegistry>,
    /// The longest lifetime of the tokens that this replica signs, in seconds.
    pub longest_token_lifetime: i64,
}

/// The body of `/status`.
#[derive(Serialize)]
struct StatusBody {
    version: &'static str,
    /// This replica's clock, in seconds since the epoch; it decides when tokens expire.
    time: i64,
    schema_version: Option<i64>,
    required_schema_version: i64,
    oldest_tolerated_server: i64,
    signing_keys: Vec<KeyBody>,
    /// For how many seconds verifiers may cache the JWKS.
    jwks_max_age: Option<u32>,
    longest_token_lifetime: i64,
    /// The loaded registry of OAuth clients; `null` while none is loaded.
    clients: Option<ClientsBody>,
    /// How many passwords this replica hashes at the same time.
    password_hash_workers: usize,
    revocation: RevocationBody,
    database_pool: DatabasePool,
    #[serde(flatten)]
    report: Report,
}

#[derive(Serialize)]
struct KeyBody {
    kid: String,
    alg: &'static str,
    phase: &'static str,
}

#[derive(Serialize)]
struct ClientsBody {
    serial: u64,
    count: usize,
}

#[derive(Serialize)]
struct RevocationBody {
    mode: &'static str,
    message: String,
}

/// The process runs. Checks nothing else, since a restart would fix no dependency.
pub async fn livez() -> &'static str {
    "ok"
}

/// Whether this replica can serve requests, and the state of each dependency.
pub async fn readyz(State(state): State<ManagementState>) -> Response {
    let report = state.readiness.check().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

/// The key that `/startup` asks for.
#[derive(Deserialize)]
pub struct RequiredKey {
    key: String,
    phase: String,
}

/// Whether this replica has loaded a signing key that has reached a phase. The operator uses it as the startup probe of
/// pods that cannot report to it: such a pod is only ready when it publishes a new key.
pub async fn startup(
    State(state): State<ManagementState>,
    Query(required): Query<RequiredKey>,
) -> (StatusCode, &'static str) {
    const PHASES: [&str; 3] = ["published", "active", "retiring"];
    let rank = |phase: &str| PHASES.iter().position(|known| *known == phase);
    let loaded = state.readiness.loaded_keys();
    let found = loaded.iter().find(|key| key.kid == required.key).and_then(|key| rank(key.phase.as_str()));
    match (found, rank(&required.phase)) {
        (_, None) => (StatusCode::BAD_REQUEST, "the phase is published, active or retiring"),
        (Some(found), Some(least)) if found >= least => (StatusCode::OK, "ok"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the key is not loaded, or not in this phase yet"),
    }
}

/// The Prometheus text format.
pub async fn metrics(State(state): State<ManagementState>) -> Response {
    state.readiness.measure(&state.metrics).await;
    state.connections.measure(&state.metrics);
    state.service.measure_feed();
    match state.metrics.render() {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The state of one replica, for the operator and for people.
pub async fn status(State(state): State<ManagementState>) -> Response {
    let report = state.readiness.check().await;
    let (mode, message) = state.readiness.revocation();
    let body = StatusBody {
        version: env!("CARGO_PKG_VERSION"),
        time: Utc::now().timestamp(),
        schema_version: state.readiness.schema_version(),
        required_schema_version: crate::store::REQUIRED_SCHEMA_VERSION,
        oldest_tolerated_server: crate::store::OLDEST_TOLERATED_SERVER,
        signing_keys: state
            .readiness
            .loaded_keys()
            .into_iter()
            .map(|key| KeyBody { kid: key.kid, alg: key.algorithm.as_str(), phase: key.phase.as_str() })
            .collect(),
        jwks_max_age: state.readiness.public_keys().map(|(_, max_age)| max_age),
        longest_token_lifetime: state.longest_token_lifetime,
        clients: state.clients.loaded().map(|(serial, count)| ClientsBody { serial, count }),
        password_hash_workers: state.readiness.hash_workers(),
        revocation: RevocationBody { mode: mode.as_str(), message },
        database_pool: state.readiness.database_pool(),
        report,
    };
    Json(body).into_response()
}

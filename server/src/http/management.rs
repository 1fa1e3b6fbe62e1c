//! `/livez`, `/readyz`, `/metrics` and `/status`, on the management port.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::metrics::Metrics;
use crate::readiness::{Readiness, Report};

/// What the management port shows.
#[derive(Clone)]
pub struct ManagementState {
    /// Looks at every dependency.
    pub readiness: Arc<Readiness>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// The body of `/status`.
#[derive(Serialize)]
struct StatusBody {
    version: &'static str,
    schema_version: Option<i64>,
    required_schema_version: i64,
    oldest_tolerated_server: i64,
    signing_keys: Vec<KeyBody>,
    revocation: RevocationBody,
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
struct RevocationBody {
    mode: &'static str,
    message: String,
}

/// The process runs: nothing else is asked, since a restart would mend no dependency.
pub async fn livez() -> &'static str {
    "ok"
}

/// Whether requests should be sent here, and what is waited for.
pub async fn readyz(State(state): State<ManagementState>) -> Response {
    let report = state.readiness.look().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

/// The Prometheus text format.
pub async fn metrics(State(state): State<ManagementState>) -> Response {
    state.readiness.measure(&state.metrics).await;
    match state.metrics.render() {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Everything that an operator, human or not, asks of one replica.
pub async fn status(State(state): State<ManagementState>) -> Response {
    let report = state.readiness.look().await;
    let (mode, message) = state.readiness.revocation();
    let body = StatusBody {
        version: env!("CARGO_PKG_VERSION"),
        schema_version: state.readiness.schema_version(),
        required_schema_version: crate::store::REQUIRED_SCHEMA_VERSION,
        oldest_tolerated_server: crate::store::OLDEST_TOLERATED_SERVER,
        signing_keys: state
            .readiness
            .loaded_keys()
            .into_iter()
            .map(|key| KeyBody { kid: key.kid, alg: key.algorithm.as_str(), phase: key.phase.as_str() })
            .collect(),
        revocation: RevocationBody { mode: mode.as_str(), message },
        report,
    };
    Json(body).into_response()
}

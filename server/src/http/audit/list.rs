//! `GET /api/v1/audit`

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::names::{KindName, OutcomeName};
use crate::domain::{AuditKind, Outcome, Permission};
use crate::http::bearer::AnyBearer;
use crate::http::problem::Problem;
use crate::http::problem_docs::{PermissionProblems, QueryProblems, UnavailableProblem};
use crate::http::query::{QueryFields, encode_cursor};
use crate::http::state::ApiState;
use crate::service;
use crate::store::{AuditEntry, AuditQuery};

const PARAMETERS: [&str; 9] =
    ["kind", "outcome", "actor_id", "user_id", "request_id", "since", "until", "limit", "cursor"];

/// An event: who did what to whom, when, from where, and what came of it.
#[derive(Serialize, ToSchema)]
pub struct AuditEventBody {
    /// The id: greater than that of every earlier event.
    id: i64,
    /// The time of the event.
    at: DateTime<Utc>,
    /// The kind of event. Later releases may add kinds.
    #[schema(example = "login")]
    kind: String,
    /// The outcome: `success` or `refused`.
    #[schema(example = "success")]
    outcome: String,
    /// The account that acted; null if the request was not authenticated or the service itself acted.
    #[schema(required, example = 1)]
    actor_id: Option<i64>,
    /// The account that was affected.
    #[schema(required, example = 1)]
    user_id: Option<i64>,
    /// The session that acted or was affected.
    #[schema(required)]
    session_id: Option<Uuid>,
    /// The request id, as in `x-request-id` and in the log.
    #[schema(required)]
    request_id: Option<String>,
    /// The client address.
    #[schema(required, example = "192.0.2.7")]
    address: Option<String>,
    /// The `User-Agent` of the request.
    #[schema(required)]
    user_agent: Option<String>,
    /// Further details; never a secret.
    #[schema(value_type = Object)]
    detail: Value,
}

/// A page of events.
#[derive(Serialize, ToSchema)]
pub struct AuditBody {
    /// The events, newest first.
    events: Vec<AuditEventBody>,
    /// The `cursor` of the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl From<AuditEntry> for AuditEventBody {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            at: entry.at,
            kind: entry.kind,
            outcome: entry.outcome,
            actor_id: entry.actor_id,
            user_id: entry.user_id,
            session_id: entry.session_id,
            request_id: entry.request_id,
            address: entry.address,
            user_agent: entry.user_agent,
            detail: entry.detail,
        }
    }
}

/// List audit events
///
/// Requires the permission `audit.read`. Newest first. To get the next page, repeat the request with `cursor` set to
/// `next_cursor` of the response.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", operation_id = "list_audit",
    security(("bearer" = []), ("password" = [])),
    params(
        ("kind" = inline(Option<KindName>), Query, description = "The kind of event"),
        ("outcome" = inline(Option<OutcomeName>), Query, description = "The outcome"),
        ("actor_id" = Option<i64>, Query, description = "The account that acted"),
        ("user_id" = Option<i64>, Query, description = "The account that was affected"),
        ("request_id" = Option<String>, Query, description = "The id of the request", max_length = 64, pattern = "^[A-Za-z0-9._-]+$"),
        ("since" = Option<DateTime<Utc>>, Query, description = "The earliest time, inclusive (RFC 3339)"),
        ("until" = Option<DateTime<Utc>>, Query, description = "The latest time, exclusive (RFC 3339)"),
        ("limit" = Option<i64>, Query, description = "The page size; 50 by default", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page", pattern = "^[A-Za-z0-9_-]{11}$"),
    ),
    responses(
        (status = 200, description = "The events", body = AuditBody),
        QueryProblems, PermissionProblems, UnavailableProblem,
    )
)]
pub async fn list_audit(
    State(state): State<ApiState>,
    AnyBearer(bearer): AnyBearer,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::AuditRead).await?;
    let page = service::list_audit(&state.service, &permitted, read(query.as_deref())?).await?;
    let body = AuditBody {
        next_cursor: page.next.map(encode_cursor),
        events: page.items.into_iter().map(AuditEventBody::from).collect(),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

fn read(query: Option<&str>) -> Result<AuditQuery, Problem> {
    let mut fields = QueryFields::parse(query, &PARAMETERS)?;
    let time = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    let query = AuditQuery {
        kind: fields.read("kind", "is not a kind of event", |text| {
            AuditKind::ALL.iter().any(|kind| kind.as_str() == text).then(|| text.to_owned())
        }),
        outcome: fields.read("outcome", "must be success or refused", |text| {
            let known = [Outcome::Success, Outcome::Refused];
            known.iter().any(|outcome| outcome.as_str() == text).then(|| text.to_owned())
        }),
        actor_id: fields.id("actor_id"),
        user_id: fields.id("user_id"),
        request_id: fields.read("request_id", "is not a request id", |text| {
            let good = (1..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            good.then(|| text.to_owned())
        }),
        since: fields.read("since", "must be a time such as 2026-01-31T12:00:00Z", time),
        until: fields.read("until", "must be a time such as 2026-01-31T12:00:00Z", time),
        before: fields.cursor(),
        limit: fields.limit(),
    };
    fields.finish()?;
    Ok(query)
}

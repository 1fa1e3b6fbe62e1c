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
use crate::domain::{AuditKind, Outcome};
use crate::http::bearer::Bearer;
use crate::http::problem::Problem;
use crate::http::problem_docs::{QueryProblems, SuperuserProblems, UnavailableProblem};
use crate::http::query::{QueryFields, encode_cursor};
use crate::http::state::ApiState;
use crate::service;
use crate::store::{AuditEntry, AuditQuery};

const PARAMETERS: [&str; 9] =
    ["kind", "outcome", "actor_id", "user_id", "request_id", "since", "until", "limit", "cursor"];

/// An event: who did what to whom, when, from where, and what came of it.
#[derive(Serialize, ToSchema)]
pub struct AuditEventBody {
    /// Greater than that of every event recorded before.
    id: i64,
    /// When.
    at: DateTime<Utc>,
    /// What. New kinds may come.
    #[schema(example = "login")]
    kind: String,
    /// What came of it: `success` or `refused`.
    #[schema(example = "success")]
    outcome: String,
    /// Who; null when nobody was authenticated, or it was the service itself.
    #[schema(required, example = 1)]
    actor_id: Option<i64>,
    /// To whom.
    #[schema(required, example = 1)]
    user_id: Option<i64>,
    /// In or to which session.
    #[schema(required)]
    session_id: Option<Uuid>,
    /// The request, as in `x-request-id` and in the log.
    #[schema(required)]
    request_id: Option<String>,
    /// From which address.
    #[schema(required, example = "192.0.2.7")]
    address: Option<String>,
    /// With which program, by its own word.
    #[schema(required)]
    user_agent: Option<String>,
    /// What else was recorded; never a secret.
    #[schema(value_type = Object)]
    detail: Value,
}

/// A page of events.
#[derive(Serialize, ToSchema)]
pub struct AuditBody {
    /// The events, newest first.
    events: Vec<AuditEventBody>,
    /// `cursor` of the next page; null when this is the last one.
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

/// Read the audit
///
/// For superusers. Newest first; the next page is asked for with the same parameters and the `cursor` of the
/// answer.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", operation_id = "list_audit",
    security(("bearer" = []), ("password" = [])),
    params(
        ("kind" = inline(Option<KindName>), Query, description = "What happened"),
        ("outcome" = inline(Option<OutcomeName>), Query, description = "What came of it"),
        ("actor_id" = Option<i64>, Query, description = "Who did it"),
        ("user_id" = Option<i64>, Query, description = "To whom it was done"),
        ("request_id" = Option<String>, Query, description = "The request that it came with", max_length = 64, pattern = "^[A-Za-z0-9._-]+$"),
        ("since" = Option<DateTime<Utc>>, Query, description = "Not before (RFC 3339)"),
        ("until" = Option<DateTime<Utc>>, Query, description = "Before (RFC 3339)"),
        ("limit" = Option<i64>, Query, description = "How many; 50 when absent", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "Where the page begins: `next_cursor` of the page before", pattern = "^[A-Za-z0-9_-]{11}$"),
    ),
    responses(
        (status = 200, description = "The events", body = AuditBody),
        QueryProblems, SuperuserProblems, UnavailableProblem,
    )
)]
pub async fn list_audit(
    State(state): State<ApiState>,
    Bearer(bearer): Bearer,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let superuser = service::require_superuser(&state.service, bearer).await?;
    let page = service::list_audit(&state.service, superuser, read(query.as_deref())?).await?;
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

//! `GET /api/v1/auth/revocations`

use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use chrono::Utc;

use crate::http::arrival::discard_unawaited;
use crate::http::bearer::bearer_token;
use crate::http::problem::Problem;
use crate::http::problem_docs::{PermissionProblems, QueryProblems, UnavailableProblem};
use crate::http::query::QueryFields;
use crate::http::state::ApiState;
use crate::service::{self, FeedCursor, FeedRequest, LONGEST_FEED_WAIT, MAX_FEED_PAGE};

/// Read the feed of revocations
///
/// For verifiers that check access tokens by their signature and do not ask the server each time. Requires an access token of
/// a client for this service with the scope `revocations.read`. The answer is a JWT of the type `revocations+jwt`, signed with
/// the key of the access tokens. A verifier refuses a token whose `sid`, `jti`, `cred` or one of its `prior_creds` is an `id` of
/// `revoked`, whose `iat`
/// is before `tokens_valid_from`, or whose account is in `accounts`. The first request has no `after`; each further one has
/// the `cursor` of the previous answer. `more` says that there is another page; with `reset` the list begins anew.
#[utoipa::path(
    get, path = "/api/v1/auth/revocations", tag = "programs", operation_id = "revocations",
    security(("bearer" = [])),
    params(
        ("after" = Option<String>, Query, description = "`cursor` of the previous answer", pattern = "^[A-Za-z0-9_-]{32}$"),
        ("limit" = Option<i64>, Query, description = "The most entries; 1000 by default", minimum = 1, maximum = 1000),
        ("wait" = Option<i64>, Query, description = "How many seconds the answer may wait for a change; 0 by default. Only with `after`", minimum = 0, maximum = 30),
    ),
    responses(
        (status = 200, description = "A page of the feed, signed", body = String, content_type = "application/revocations+jwt"),
        QueryProblems, PermissionProblems, UnavailableProblem,
    )
)]
pub async fn revocations(
    State(state): State<ApiState>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Problem> {
    discard_unawaited(&headers, body);
    let token = bearer_token(&headers)?;
    let request = match read(query.as_deref()) {
        Ok(request) => request,
        Err(problem) => {
            // Whether the caller may ask comes before what is wrong with the question.
            service::require_feed_scope(&state.service, token, Utc::now()).await?;
            return Err(problem);
        }
    };
    let page = service::read_revocations(&state.service, token, request, Utc::now()).await?;
    // An old page looks like one without news.
    let headers = [(CACHE_CONTROL, "no-store"), (CONTENT_TYPE, "application/revocations+jwt")];
    Ok((headers, page).into_response())
}

fn read(query: Option<&str>) -> Result<FeedRequest, Problem> {
    let mut fields = QueryFields::parse(query, &["after", "limit", "wait"])?;
    let longest = LONGEST_FEED_WAIT.as_secs();
    let request = FeedRequest {
        after: fields.read("after", "is not one that an answer gave", FeedCursor::decode),
        limit: fields
            .read("limit", "must be between 1 and 1000", |text| {
                text.parse().ok().filter(|limit| (1..=MAX_FEED_PAGE).contains(limit))
            })
            .unwrap_or(MAX_FEED_PAGE),
        wait: fields
            .read("wait", "must be between 0 and 30", |text| {
                text.parse().ok().filter(|seconds| *seconds <= longest).map(Duration::from_secs)
            })
            .unwrap_or_default(),
    };
    fields.finish()?;
    Ok(request)
}

//! `/reset-password`, the page at the link in a recovery mail.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::response::{Html, IntoResponse as _, Response};
use serde::Deserialize;

use crate::domain::Password;
use crate::http::form::UrlEncodedForm;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::state::ApiState;
use crate::service::{self, ServiceError};

const TITLE: &str = "Choose a new password";
/// Its own style and a form that posts to itself; no script, no frame, nothing from elsewhere.
const CSP: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "reset_password_page.html")]
struct Page<'a> {
    title: &'a str,
    state: PageState<'a>,
}

enum PageState<'a> {
    Form { token: &'a str, error: Option<String> },
    Message { text: &'a str },
}

/// The query of the link.
#[derive(Deserialize)]
pub struct LinkQuery {
    #[serde(default)]
    token: String,
}

/// Shows the form, or says that the link is no good.
pub async fn show(
    State(state): State<ApiState>,
    query: Result<Query<LinkQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let token = query.map(|Query(query)| query.token).unwrap_or_default();
    if service::reset_token_is_good(&state.service, &token).await? {
        page(StatusCode::OK, TITLE, PageState::Form { token: &token, error: None })
    } else {
        dead_link()
    }
}

/// Sets the password, or shows the form again with what is wrong.
pub async fn submit(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    UrlEncodedForm(form): UrlEncodedForm,
) -> Result<Response, Problem> {
    let token = form.get("token").unwrap_or_default();
    let password = Password::presented(form.get("new_password").unwrap_or_default());
    match service::reset_password(&state.service, token, password, &origin).await {
        Ok(()) => page(
            StatusCode::OK,
            "Your password was changed",
            PageState::Message { text: "Every device was logged out. Log in with your new password." },
        ),
        Err(ServiceError::Invalid(faults)) => {
            let error = faults.first().map(|fault| format!("The password {}.", fault.message));
            page(StatusCode::UNPROCESSABLE_ENTITY, TITLE, PageState::Form { token, error })
        }
        Err(ServiceError::InvalidOneTimeToken) => dead_link(),
        Err(ServiceError::Overloaded(_) | ServiceError::Unavailable(_)) => page(
            StatusCode::SERVICE_UNAVAILABLE,
            TITLE,
            PageState::Form {
                token,
                error: Some("That did not work just now. Try again in a moment.".to_owned()),
            },
        ),
        Err(other) => Err(other.into()),
    }
}

fn dead_link() -> Result<Response, Problem> {
    page(
        StatusCode::GONE,
        "This link is no longer good",
        PageState::Message { text: "It was used already, or it has expired. Ask for a new one." },
    )
}

fn page(status: StatusCode, title: &str, state: PageState<'_>) -> Result<Response, Problem> {
    let html = Page { title, state }
        .render()
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side."))?;
    // The token stands in the address: it must go neither into a Referer nor into a cache.
    let headers = [
        (CONTENT_SECURITY_POLICY, CSP),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((status, headers, Html(html)).into_response())
}

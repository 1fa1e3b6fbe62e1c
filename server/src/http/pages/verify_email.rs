//! `/verify-email`, the page at the link in the mail to a new account.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::page::{LinkToken, PageBody, answer, failure};
use super::texts::{PageTexts, texts_for};
use crate::http::form::UrlEncodedForm;
use crate::http::languages::AcceptedLanguages;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::state::ApiState;
use crate::service::{self, ServiceError};
use crate::store::{LinkOwner, TokenPurpose};

const PURPOSES: [TokenPurpose; 1] = [TokenPurpose::EmailVerification];

/// Asks whether the account is the reader's own: somebody else may have registered with the address.
pub async fn show(
    State(state): State<ApiState>,
    AcceptedLanguages(accepted): AcceptedLanguages,
    LinkToken(token): LinkToken,
) -> Result<Response, Problem> {
    match service::find_link_owner(&state.service, &token, &PURPOSES).await {
        Ok(owner) => {
            let texts = texts_for(owner.locale.as_deref(), &accepted, &state.service.accounts);
            answer(StatusCode::OK, texts, texts.verify_title, question(texts, &owner, &token, false))
        }
        Err(error) => failure(texts_for(None, &accepted, &state.service.accounts), error),
    }
}

/// Verifies the address.
pub async fn submit(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    AcceptedLanguages(accepted): AcceptedLanguages,
    UrlEncodedForm(form): UrlEncodedForm,
) -> Result<Response, Problem> {
    let token = form.get("token").unwrap_or_default();
    let accounts = &state.service.accounts;
    let owner = match service::find_link_owner(&state.service, token, &PURPOSES).await {
        Ok(owner) => owner,
        Err(error) => return failure(texts_for(None, &accepted, accounts), error),
    };
    let texts = texts_for(owner.locale.as_deref(), &accepted, accounts);
    match service::verify_email(&state.service, token, &origin).await {
        Ok(()) => answer(StatusCode::OK, texts, texts.verified_title, PageBody::Message(texts.verified)),
        Err(ServiceError::Overloaded(_) | ServiceError::Unavailable(_)) => {
            let body = question(texts, &owner, token, true);
            answer(StatusCode::SERVICE_UNAVAILABLE, texts, texts.verify_title, body)
        }
        Err(error) => failure(texts, error),
    }
}

fn question<'a>(texts: &'a PageTexts, owner: &'a LinkOwner, token: &'a str, failed: bool) -> PageBody<'a> {
    PageBody::Question {
        action: "verify-email",
        token,
        text: texts.verify,
        username: &owner.username,
        address: &owner.email,
        button: texts.verify_button,
        failed,
    }
}

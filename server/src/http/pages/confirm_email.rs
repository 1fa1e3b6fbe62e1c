//! `/confirm-email`, the page at the link in the mail to the new address of an account.

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

const PURPOSES: [TokenPurpose; 1] = [TokenPurpose::EmailChange];

/// Asks whether the account is to have the address: somebody may have mistyped his own.
pub async fn show(
    State(state): State<ApiState>,
    AcceptedLanguages(accepted): AcceptedLanguages,
    LinkToken(token): LinkToken,
) -> Result<Response, Problem> {
    match service::find_link_owner(&state.service, &token, &PURPOSES).await {
        Ok(owner) => {
            let texts = texts_for(owner.locale.as_deref(), &accepted, &state.service.accounts);
            answer(StatusCode::OK, texts, texts.confirm_title, question(texts, &owner, &token, false))
        }
        Err(error) => failure(texts_for(None, &accepted, &state.service.accounts), error),
    }
}

/// Makes the address the account's.
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
    match service::confirm_email_change(&state.service, token, &origin).await {
        Ok(()) => answer(StatusCode::OK, texts, texts.confirmed_title, PageBody::Message(texts.confirmed)),
        Err(ServiceError::Overloaded(_) | ServiceError::Unavailable(_)) => {
            let body = question(texts, &owner, token, true);
            answer(StatusCode::SERVICE_UNAVAILABLE, texts, texts.confirm_title, body)
        }
        Err(error) => failure(texts, error),
    }
}

fn question<'a>(texts: &'a PageTexts, owner: &'a LinkOwner, token: &'a str, failed: bool) -> PageBody<'a> {
    PageBody::Question {
        action: "confirm-email",
        token,
        text: texts.confirm,
        username: &owner.username,
        address: owner.mailed_to.as_deref().unwrap_or_default(),
        button: texts.confirm_button,
        failed,
    }
}

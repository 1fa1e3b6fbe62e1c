//! `/reset-password`, the page at the link in a recovery mail and in an invitation.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use serde::Deserialize;

use super::page::{LinkToken, PageBody, answer, failure};
use super::texts::{PageTexts, texts_for};
use crate::domain::Password;
use crate::http::form::UrlEncodedForm;
use crate::http::languages::AcceptedLanguages;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::state::ApiState;
use crate::service::{self, PASSWORD_LINKS, ServiceError};
use crate::store::TokenPurpose;

/// The form of the page.
#[derive(Deserialize)]
pub struct ResetForm {
    #[serde(default)]
    token: String,
    #[serde(default)]
    new_password: String,
}

/// Shows the form, or says that the link is no good.
pub async fn show(
    State(state): State<ApiState>,
    AcceptedLanguages(accepted): AcceptedLanguages,
    LinkToken(token): LinkToken,
) -> Result<Response, Problem> {
    match service::find_link_owner(&state.service, &token, &PASSWORD_LINKS).await {
        Ok(owner) => {
            let texts = texts_for(owner.locale.as_deref(), &accepted, state.service.accounts());
            let body = PageBody::Password {
                token: &token,
                username: &owner.username,
                policy: state.service.password_policy(),
                error: None,
            };
            answer(StatusCode::OK, texts, title(texts, owner.purpose), body)
        }
        Err(error) => failure(texts_for(None, &accepted, state.service.accounts()), error),
    }
}

/// Sets the password, or shows the form again with what is wrong.
pub async fn submit(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    AcceptedLanguages(accepted): AcceptedLanguages,
    UrlEncodedForm(ResetForm { token, new_password }): UrlEncodedForm<ResetForm>,
) -> Result<Response, Problem> {
    let (token, password) = (token.as_str(), Password::presented(new_password));
    let (accounts, policy) = (state.service.accounts(), state.service.password_policy());
    let owner = match service::find_link_owner(&state.service, token, &PASSWORD_LINKS).await {
        Ok(owner) => owner,
        Err(ServiceError::InvalidOneTimeToken) => {
            // It counts as an attempt, as it does at the endpoint.
            let tried = service::reset_password(&state.service, token, password, &origin).await;
            let error = tried.err().unwrap_or(ServiceError::InvalidOneTimeToken);
            return failure(texts_for(None, &accepted, accounts), error);
        }
        Err(error) => return failure(texts_for(None, &accepted, accounts), error),
    };
    let texts = texts_for(owner.locale.as_deref(), &accepted, accounts);
    let again = |status, error| {
        let body = PageBody::Password { token, username: &owner.username, policy, error: Some(error) };
        answer(status, texts, title(texts, owner.purpose), body)
    };
    match service::reset_password(&state.service, token, password, &origin).await {
        Ok(device) => {
            let (title, text) = match owner.purpose {
                TokenPurpose::Invitation => (texts.welcome_title, texts.welcome),
                _ => (texts.reset_done_title, texts.reset_done),
            };
            let mut response = answer(StatusCode::OK, texts, title, PageBody::Message(text))?;
            response.headers_mut().append(SET_COOKIE, state.remember_device(&device)?);
            Ok(response)
        }
        Err(ServiceError::Invalid(faults)) => {
            let fault = faults.first().map_or("", |fault| fault.message.as_str());
            again(StatusCode::UNPROCESSABLE_ENTITY, texts.refusal(fault, policy))
        }
        Err(ServiceError::Overloaded(_) | ServiceError::Unavailable(_)) => {
            again(StatusCode::SERVICE_UNAVAILABLE, texts.try_again.to_owned())
        }
        Err(error) => failure(texts, error),
    }
}

fn title(texts: &PageTexts, purpose: TokenPurpose) -> &'static str {
    match purpose {
        TokenPurpose::Invitation => texts.invitation_title,
        _ => texts.reset_title,
    }
}

//! `/verify-email` and `/confirm-email`: the page of a link that confirms an address.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use latchkey_config::account_rules::displayed_email_address;
use serde::Deserialize;

use super::page::{LinkToken, PageBody, answer, failure};
use super::texts::{PageTexts, texts_for};
use crate::http::form::UrlEncodedForm;
use crate::http::languages::AcceptedLanguages;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::state::ApiState;
use crate::service::{self, ServiceError};
use crate::store::{LinkOwner, TokenPurpose};

/// The form of the page.
#[derive(Deserialize)]
struct LinkForm {
    #[serde(default)]
    token: String,
}

/// The address that the page confirms. It asks before it does, since another person may have entered the address.
#[derive(Clone, Copy)]
pub enum AddressPage {
    /// The address of a new account.
    New,
    /// The new address of an existing account.
    Changed,
}

impl AddressPage {
    /// `GET` asks, `POST` confirms.
    pub fn route(self) -> MethodRouter<ApiState> {
        get(async move |State(state): State<ApiState>, accepted: AcceptedLanguages, token: LinkToken| {
            self.show(&state, accepted, token).await
        })
        .post(
            async move |State(state): State<ApiState>,
                        origin: RequestOrigin,
                        accepted: AcceptedLanguages,
                        form: UrlEncodedForm<LinkForm>| {
                self.submit(&state, origin, accepted, form).await
            },
        )
    }

    async fn show(
        self,
        state: &ApiState,
        AcceptedLanguages(accepted): AcceptedLanguages,
        LinkToken(token): LinkToken,
    ) -> Result<Response, Problem> {
        let accounts = state.service.accounts();
        match service::find_link_owner(&state.service, &token, &[self.purpose()]).await {
            Ok(owner) => {
                let texts = texts_for(owner.locale.as_deref(), &accepted, accounts);
                self.ask(StatusCode::OK, texts, &owner, &token)
            }
            Err(error) => failure(texts_for(None, &accepted, accounts), error),
        }
    }

    async fn submit(
        self,
        state: &ApiState,
        RequestOrigin(origin): RequestOrigin,
        AcceptedLanguages(accepted): AcceptedLanguages,
        UrlEncodedForm(LinkForm { token }): UrlEncodedForm<LinkForm>,
    ) -> Result<Response, Problem> {
        let token = token.as_str();
        let accounts = state.service.accounts();
        let owner = match service::find_link_owner(&state.service, token, &[self.purpose()]).await {
            Ok(owner) => owner,
            Err(error) => return failure(texts_for(None, &accepted, accounts), error),
        };
        let texts = texts_for(owner.locale.as_deref(), &accepted, accounts);
        let (result, title, message) = match self {
            Self::New => {
                let result = service::verify_email(&state.service, token, &origin).await;
                (result, texts.verified_title, texts.verified)
            }
            Self::Changed => {
                let result = service::confirm_email_change(&state.service, token, &origin).await;
                (result, texts.confirmed_title, texts.confirmed)
            }
        };
        match result {
            Ok(()) => answer(StatusCode::OK, texts, title, PageBody::Message(message)),
            Err(ServiceError::Overloaded(_) | ServiceError::Unavailable(_)) => {
                self.ask(StatusCode::SERVICE_UNAVAILABLE, texts, &owner, token)
            }
            Err(error) => failure(texts, error),
        }
    }

    fn purpose(self) -> TokenPurpose {
        match self {
            Self::New => TokenPurpose::EmailVerification,
            Self::Changed => TokenPurpose::EmailChange,
        }
    }

    /// The page with the button; with another status than 200 it says that the last attempt failed.
    fn ask(
        self,
        status: StatusCode,
        texts: &PageTexts,
        owner: &LinkOwner,
        token: &str,
    ) -> Result<Response, Problem> {
        let (title, action, text, button, address) = match self {
            Self::New => {
                (texts.verify_title, "verify-email", texts.verify, texts.verify_button, owner.email.as_str())
            }
            Self::Changed => {
                let address = owner.mailed_to.as_deref().unwrap_or_default();
                (texts.confirm_title, "confirm-email", texts.confirm, texts.confirm_button, address)
            }
        };
        let failed = status != StatusCode::OK;
        let (username, address) = (&owner.username, &*displayed_email_address(address));
        answer(
            status,
            texts,
            title,
            PageBody::Question { action, token, text, username, address, button, failed },
        )
    }
}

//! An account as administrators see it, and the id in its path.

use std::convert::Infallible;

use axum::Json;
use axum::extract::{FromRequestParts, Path};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::problem::Problem;
use crate::service::ServiceError;
use crate::store::Account;

/// An account, with what administrators need to know of it.
#[derive(Serialize, ToSchema)]
pub struct AccountBody {
    /// The id: `sub` of the tokens.
    #[schema(example = 1)]
    id: i64,
    /// The username.
    #[schema(example = "john")]
    username: String,
    /// The e-mail address.
    #[schema(example = "john@example.com")]
    email: String,
    /// The user's full name.
    #[schema(example = "John Doe")]
    name: String,
    /// Whether the account may administer everything.
    #[schema(example = false)]
    is_superuser: bool,
    /// Whether the account may log in.
    #[schema(example = true)]
    is_active: bool,
    /// Whether the owner has confirmed the address, or an administrator has set it.
    #[schema(example = true)]
    email_verified: bool,
    /// The language of e-mails (BCP 47); null: the default of the service.
    #[schema(required, example = "en")]
    locale: Option<String>,
    /// The creation time.
    created_at: DateTime<Utc>,
}

impl From<Account> for AccountBody {
    fn from(account: Account) -> Self {
        Self {
            id: account.id,
            username: account.username,
            email: account.email,
            name: account.name,
            is_superuser: account.is_superuser,
            is_active: account.is_active,
            email_verified: account.email_verified,
            locale: account.locale,
            created_at: account.created_at,
        }
    }
}

/// The answer that shows one account; a person's data is not for shared caches.
pub(super) fn show(account: Account) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(AccountBody::from(account))).into_response()
}

/// The id in the path. What is no id is no account's: read it after it is known who asks.
pub struct UserId(Option<i64>);

impl UserId {
    /// The id.
    ///
    /// # Errors
    /// `404`
    pub fn get(self) -> Result<i64, Problem> {
        self.0.ok_or_else(|| ServiceError::UnknownAccount.into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for UserId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let path = Path::<i64>::from_request_parts(parts, state).await;
        Ok(Self(path.ok().map(|Path(id)| id)))
    }
}

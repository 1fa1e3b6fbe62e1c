//! A group, and the names and ids in the paths.

use std::convert::Infallible;

use axum::Json;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::GroupName;
use crate::http::problem::Problem;
use crate::service::ServiceError;
use crate::store::Group;

/// A group.
#[derive(Serialize, ToSchema)]
pub struct GroupBody {
    /// The id, as in audit events.
    #[schema(example = 1)]
    id: i64,
    /// The name, as it was given.
    #[schema(example = "support")]
    name: String,
    /// What the group is for.
    #[schema(example = "Helps customers")]
    description: String,
    /// The administrative permissions of the members. Later releases may add some.
    #[schema(example = json!(["users.read"]))]
    permissions: Vec<String>,
    /// The creation time.
    created_at: DateTime<Utc>,
}

/// A page of groups.
#[derive(Serialize, ToSchema)]
pub struct GroupsBody {
    /// The groups, by id.
    pub groups: Vec<GroupBody>,
    /// The `cursor` of the next page; null on the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

impl From<Group> for GroupBody {
    fn from(group: Group) -> Self {
        Self {
            id: group.id,
            name: group.name,
            description: group.description,
            permissions: group.permissions,
            created_at: group.created_at,
        }
    }
}

/// The answer that shows one group.
pub(super) fn show(group: Group) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(GroupBody::from(group))).into_response()
}

/// The group, and the account if there is one, in the path. What is no name is no group's, and what is no id is no account's:
/// read them after it is known who asks.
pub struct MemberPath {
    name: Option<GroupName>,
    user_id: Option<i64>,
}

impl MemberPath {
    /// The name of the group.
    ///
    /// # Errors
    /// `404`
    pub fn group(&self) -> Result<&GroupName, Problem> {
        self.name.as_ref().ok_or_else(|| ServiceError::UnknownGroup.into())
    }

    /// The name of the group and the id of the account.
    ///
    /// # Errors
    /// `404`
    pub fn member(&self) -> Result<(&GroupName, i64), Problem> {
        let name = self.group()?;
        Ok((name, self.user_id.ok_or(ServiceError::UnknownAccount)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MemberPath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let mut path = Self { name: None, user_id: None };
        // The only error of the client is a text that is not UTF-8, which is no name.
        let Ok(parameters) = RawPathParams::from_request_parts(parts, state).await else { return Ok(path) };
        for (parameter, value) in &parameters {
            match parameter {
                "name" => path.name = GroupName::parse(value),
                "id" => path.user_id = value.parse().ok(),
                _ => {}
            }
        }
        Ok(path)
    }
}

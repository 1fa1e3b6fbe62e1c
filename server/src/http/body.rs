//! Reading bodies: their type, their size, their JSON.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::service::{FieldError, ServiceError};

/// The largest body that is read, in bytes. The largest sensible one is a form with a 256-character password.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The media type of a request, lower case, without parameters; empty when there is none.
pub fn media_type(headers: &HeaderMap) -> String {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .map(|essence| essence.trim().to_ascii_lowercase())
        .unwrap_or_default()
}

/// `415` with what is expected.
pub fn unsupported(expected: &str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("The body must be {expected}."))
}

/// Reads the whole body within [`MAX_BODY_BYTES`].
pub async fn read_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            too_large()
        } else {
            Problem::new(StatusCode::BAD_REQUEST, "The body could not be read.")
        }
    })
}

/// `413`
pub fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The body is larger than {MAX_BODY_BYTES} bytes."))
}

/// A JSON body.
pub struct ApiJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if media_type(request.headers()) != "application/json" {
            return Err(unsupported("application/json"));
        }
        let bytes = read_bytes(request, state).await?;
        let mut deserializer = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let field = error.path().to_string();
            describe(error.inner(), &field)
        })?;
        deserializer.end().map_err(|error| describe(&error, "."))?;
        Ok(Self(value))
    }
}

/// `400` when it is no JSON, `422` when it is not what is asked for. serde's own words are kept to the kind of
/// fault: they may repeat the value, which may be a password.
fn describe(error: &serde_json::Error, field: &str) -> Problem {
    if !error.is_data() {
        return Problem::new(StatusCode::BAD_REQUEST, "The body is not valid JSON.");
    }
    let text = error.to_string();
    let named =
        |prefix: &str| text.strip_prefix(prefix).and_then(|rest| rest.split('`').next()).map(str::to_owned);
    let (field, message) = if let Some(missing) = named("missing field `") {
        (missing, "is required")
    } else if let Some(unknown) = named("unknown field `") {
        (unknown, "is not known")
    } else if let Some(twice) = named("duplicate field `") {
        (twice, "is given twice")
    } else if field == "." {
        ("body".to_owned(), "must be a JSON object")
    } else {
        (field.to_owned(), "has the wrong type")
    };
    // A field's name is a short word from our own types, or the caller's: cut, since it is echoed.
    let field: String = field.chars().filter(|c| !c.is_control()).take(64).collect();
    Problem::from(ServiceError::Invalid(vec![FieldError {
        field: leak_free(&field),
        message: message.to_owned(),
    }]))
}

/// The names that our bodies have; anything else is called `body`.
fn leak_free(field: &str) -> &'static str {
    const FIELDS: [&str; 10] = [
        "token",
        "expires_in",
        "token_type",
        "new_password",
        "username",
        "email",
        "name",
        "password",
        "is_superuser",
        "body",
    ];
    FIELDS.into_iter().find(|known| *known == field).unwrap_or("body")
}

//! Reading request bodies: size and JSON.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::arrival::{check_readable, too_large};
use super::content::{Content, JSON};
use super::problem::Problem;
use crate::service::{FieldError, ServiceError};

/// Reads the whole body within [`super::arrival::MAX_BODY_BYTES`].
pub async fn read_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    check_readable(&request)?;
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            too_large()
        } else {
            Problem::new(StatusCode::BAD_REQUEST, "The body could not be read.")
        }
    })
}

/// The fields of a JSON body.
pub trait JsonBody: DeserializeOwned {
    /// The required fields.
    const REQUIRED: &'static [&'static str];
    /// The optional fields.
    const OPTIONAL: &'static [&'static str];
}

/// Deserializes an optional field: if present it must have the field's type, and must not be null.
///
/// # Errors
/// Those of the field's type.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A JSON body.
pub struct ApiJson<T>(pub T);

impl<S: Send + Sync, T: JsonBody> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let content = Content::of_request(request.headers(), &[JSON])?;
        let bytes = read_bytes(request, state).await?;
        content.check_text(&bytes)?;
        // RFC 8259 §8.1: a byte order mark may be ignored.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        // serde would accept an array as a struct, its items as the fields in order.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(refuse_non_object(bytes));
        }
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let field = error.path().to_string();
            describe::<T>(bytes, error.inner(), &field)
        })?;
        deserializer.end().map_err(|error| describe::<T>(bytes, &error, "."))?;
        Ok(Self(value))
    }
}

fn refuse_non_object(bytes: &[u8]) -> Problem {
    if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_err() {
        return Problem::new(StatusCode::BAD_REQUEST, "The body is not valid JSON.");
    }
    ServiceError::Invalid(vec![FieldError::new("body", "must be a JSON object")]).into()
}

/// `400` for invalid JSON, `422` for JSON of another shape. serde's message stays out of the response, since it may repeat
/// the value, which may be a password. Only known field names are repeated.
fn describe<T: JsonBody>(bytes: &[u8], error: &serde_json::Error, field: &str) -> Problem {
    if !error.is_data() {
        return Problem::new(StatusCode::BAD_REQUEST, "The body is not valid JSON.");
    }
    let Ok(object) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes) else {
        return refuse_non_object(bytes);
    };
    let absent: Vec<_> = T::REQUIRED
        .iter()
        .filter(|name| !object.contains_key(**name))
        .map(|name| FieldError::new(name, "is required"))
        .collect();
    if !absent.is_empty() {
        return ServiceError::Invalid(absent).into();
    }
    let known = T::REQUIRED.iter().chain(T::OPTIONAL).find(|known| **known == field);
    let fault = match known {
        Some(name) if error.to_string().starts_with("duplicate field") => {
            FieldError::new(name, "is given twice")
        }
        Some(name) => FieldError::new(name, "has the wrong type"),
        None => FieldError::new("body", "has a field twice, or one that is not known"),
    };
    ServiceError::Invalid(vec![fault]).into()
}

//! Reading forms: `application/x-www-form-urlencoded`, and `multipart/form-data` where it is allowed.

use std::collections::BTreeMap;

use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde::de::value::{Error, MapDeserializer};

use super::arrival::{check_readable, too_large};
use super::body::read_bytes;
use super::content::{Content, MULTIPART, URLENCODED};
use super::problem::Problem;
use crate::service::{FieldError, ServiceError};

/// The largest number of fields; every form of the API has fewer.
pub const MAX_FIELDS: usize = 32;

/// Checks that required fields are given; an empty value counts as absent (RFC 6749 §3.2).
///
/// # Errors
/// `422` that names every absent one.
pub fn require(fields: &[(&'static str, &str)]) -> Result<(), Problem> {
    let absent = fields.iter().filter(|(_, value)| value.is_empty());
    let faults: Vec<_> = absent.map(|(field, _)| FieldError::new(field, "is required")).collect();
    if faults.is_empty() { Ok(()) } else { Err(ServiceError::Invalid(faults).into()) }
}

/// The fields of a form; each name occurs once.
#[derive(Default)]
struct FormFields(BTreeMap<String, String>);

impl FormFields {
    fn insert(&mut self, name: String, value: String, repeatable: &[&str]) -> Result<(), Problem> {
        if let Some(earlier) = self.0.get_mut(&name).filter(|_| repeatable.contains(&name.as_str())) {
            earlier.push(' ');
            earlier.push_str(&value);
            return Ok(());
        }
        if self.0.len() >= MAX_FIELDS {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "The form has too many fields."));
        }
        // RFC 6749 §3.2: a parameter must not be included more than once.
        if self.0.insert(name, value).is_some() {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "The form has a field twice."));
        }
        Ok(())
    }

    fn parse_urlencoded(bytes: &[u8], content: Content, repeatable: &[&str]) -> Result<Self, Problem> {
        let mut fields = Self::default();
        let decode = |encoded: &[u8]| {
            content.check_text(&decode_bytes(encoded))?;
            decode_component(encoded)
        };
        for pair in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            fields.insert(name, value, repeatable)?;
        }
        Ok(fields)
    }

    async fn parse_multipart(mut multipart: Multipart) -> Result<Self, Problem> {
        let unreadable = |error: axum::extract::multipart::MultipartError| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                too_large()
            } else {
                Problem::new(StatusCode::BAD_REQUEST, "The form could not be read.")
            }
        };
        let mut fields = Self::default();
        while let Some(field) = multipart.next_field().await.map_err(unreadable)? {
            let name = field.name().unwrap_or_default().to_owned();
            let bytes = field.bytes().await.map_err(unreadable)?;
            let value = String::from_utf8(bytes.to_vec())
                .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "The form is not valid UTF-8."))?;
            fields.insert(name, value, &[])?;
        }
        Ok(fields)
    }

    /// Unknown fields are ignored (RFC 6749 §3.2).
    fn into_form<T: DeserializeOwned>(self) -> Result<T, Problem> {
        T::deserialize(MapDeserializer::new(self.0.into_iter()))
            .map_err(|_: Error| Problem::new(StatusCode::BAD_REQUEST, "The form could not be read."))
    }
}

/// Decodes one name or value (WHATWG URL §5.1), but refuses invalid UTF-8 instead of replacing it by U+FFFD: a password must
/// not be changed silently.
pub fn decode_component(encoded: &[u8]) -> Result<String, Problem> {
    String::from_utf8(decode_bytes(encoded))
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "The form is not valid UTF-8."))
}

fn decode_bytes(encoded: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = encoded.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_encoding::percent_decode(&spaced).collect()
}

/// A form of either media type. Each field of `T` is a `String` with `#[serde(default)]`; an absent one is empty.
pub struct AnyForm<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for AnyForm<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let content = Content::of_request(request.headers(), &[URLENCODED, MULTIPART])?;
        let fields = if content.media_type == MULTIPART {
            check_readable(&request)?;
            let multipart = Multipart::from_request(request, state).await.map_err(|_| {
                Problem::new(StatusCode::BAD_REQUEST, "The multipart form has no valid boundary.")
            })?;
            FormFields::parse_multipart(multipart).await?
        } else {
            FormFields::parse_urlencoded(&read_bytes(request, state).await?, content, &[])?
        };
        fields.into_form().map(Self)
    }
}

/// A URL-encoded form, with fields as in [`AnyForm`].
pub struct UrlEncodedForm<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for UrlEncodedForm<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let content = Content::of_request(request.headers(), &[URLENCODED])?;
        let bytes = read_bytes(request, state).await?;
        FormFields::parse_urlencoded(&bytes, content, &[])?.into_form().map(Self)
    }
}

/// A form with fields that may be given more than once.
pub trait Repeatable: DeserializeOwned {
    /// Their names. The values are joined with spaces, which the values of such fields do not contain.
    const REPEATABLE: &'static [&'static str];
}

/// A URL-encoded form, with fields as in [`AnyForm`] or as in [`Repeatable`].
pub struct RepeatableForm<T>(pub T);

impl<S: Send + Sync, T: Repeatable> FromRequest<S> for RepeatableForm<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let content = Content::of_request(request.headers(), &[URLENCODED])?;
        let bytes = read_bytes(request, state).await?;
        FormFields::parse_urlencoded(&bytes, content, T::REPEATABLE)?.into_form().map(Self)
    }
}

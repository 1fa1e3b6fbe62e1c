//! Reading the query of a URL, and the cursors of lists.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::problem::Problem;
use crate::service::{FieldError, ServiceError};

/// The default page size.
const DEFAULT_LIMIT: i64 = 50;
/// The largest page size.
pub const MAX_LIMIT: i64 = 200;

/// The parameters of a query. Unknown, repeated and empty parameters are faults: a misspelt filter or one that lost its value
/// must not list everything.
pub struct QueryFields {
    fields: BTreeMap<&'static str, String>,
    faults: Vec<FieldError>,
}

impl QueryFields {
    /// Splits a query.
    ///
    /// # Errors
    /// `400` when it is not UTF-8. [`QueryFields::finish`] reports other faults.
    pub fn parse(query: Option<&str>, known: &[&'static str]) -> Result<Self, Problem> {
        let mut parsed = Self { fields: BTreeMap::new(), faults: Vec::new() };
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            match known.iter().find(|known| **known == name) {
                None => parsed.fault("query", "has a parameter that is not known"),
                Some(name) if parsed.fields.contains_key(name) => parsed.fault(name, "is given twice"),
                Some(name) => _ = parsed.fields.insert(name, value),
            }
        }
        Ok(parsed)
    }

    /// A parameter's value; a fault that says what was `expected` when it cannot be parsed.
    pub fn read<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.fields.remove(name)?;
        let parsed = parse(&value);
        if parsed.is_none() {
            self.fault(name, expected);
        }
        parsed
    }

    /// A parameter that is `true` or `false`.
    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        self.read(name, "must be true or false", |text| text.parse().ok())
    }

    /// A parameter that is an id.
    pub fn id(&mut self, name: &'static str) -> Option<i64> {
        self.read(name, "must be a whole number", |text| text.parse().ok())
    }

    /// `cursor`: where the page starts.
    pub fn cursor(&mut self) -> Option<i64> {
        self.read("cursor", "is not one that an answer gave", decode_cursor)
    }

    /// `limit`: the page size.
    pub fn limit(&mut self) -> i64 {
        let allowed = |text: &str| text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        self.read("limit", "must be between 1 and 200", allowed).unwrap_or(DEFAULT_LIMIT)
    }

    /// Ends the parsing.
    ///
    /// # Errors
    /// `422` that names every fault.
    pub fn finish(self) -> Result<(), Problem> {
        if self.faults.is_empty() { Ok(()) } else { Err(ServiceError::Invalid(self.faults).into()) }
    }

    fn fault(&mut self, field: &'static str, message: &str) {
        let fault = FieldError::new(field, message);
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}

/// Where a page starts and its size, of a list without other parameters.
///
/// # Errors
/// As [`QueryFields::parse`] and [`QueryFields::finish`].
pub fn read_page(query: Option<&str>) -> Result<(Option<i64>, i64), Problem> {
    let mut fields = QueryFields::parse(query, &["limit", "cursor"])?;
    let page = (fields.cursor(), fields.limit());
    fields.finish()?;
    Ok(page)
}

fn decode(encoded: &str) -> Result<String, Problem> {
    let spaced = encoded.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "The query is not valid UTF-8."))
}

/// Eleven characters, whatever stands in the bits that eight bytes leave over.
const CURSOR: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// The cursor after the item with this id; opaque, so that its content may change.
pub fn encode_cursor(id: i64) -> String {
    CURSOR.encode(id.to_be_bytes())
}

fn decode_cursor(text: &str) -> Option<i64> {
    CURSOR.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_says_what_was_put_into_it(id in any::<i64>()) {
            prop_assert_eq!(decode_cursor(&encode_cursor(id)), Some(id));
        }

        #[test]
        fn no_query_makes_it_panic(query in "(limit|cursor|q|=|&|\\+|%[0-9A-Fa-f]{0,2}|\\PC){0,12}") {
            if let Ok(mut fields) = QueryFields::parse(Some(&query), &["q", "limit", "cursor"]) {
                let limit = fields.limit();
                prop_assert!((1..=MAX_LIMIT).contains(&limit));
                fields.cursor();
                let _ = fields.finish();
            }
        }
    }
}

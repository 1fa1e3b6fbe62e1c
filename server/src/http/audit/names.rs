//! The names of kinds and outcomes, for the OpenAPI document.

use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::{AuditKind, Outcome};

/// What happened.
pub(super) struct KindName;

/// What came of it.
pub(super) struct OutcomeName;

fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
}

impl PartialSchema for KindName {
    fn schema() -> RefOr<Schema> {
        one_of(AuditKind::ALL.iter().map(|kind| kind.as_str()))
    }
}

impl PartialSchema for OutcomeName {
    fn schema() -> RefOr<Schema> {
        one_of([Outcome::Success, Outcome::Refused].iter().map(|outcome| outcome.as_str()))
    }
}

impl ToSchema for KindName {}
impl ToSchema for OutcomeName {}

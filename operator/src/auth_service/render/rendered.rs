//! A rendered object, and the action for it.

use k8s_openapi::api::core::v1::Secret;
use serde::Serialize;
use serde_json::Value;

use crate::auth_service::dereference::ExternalState;
use crate::auth_service::validate::Validated;
use crate::cluster::cache::Presence;
use crate::cluster::kinds::Kind;
use crate::fingerprint::{fingerprint, keyed_fingerprint};
use crate::names::RENDERED_ANNOTATION;

/// An object could not be serialized.
#[derive(Debug, thiserror::Error)]
#[error("the {kind} of {service} cannot be rendered: {source}")]
pub(crate) struct RenderError {
    kind: Kind,
    service: String,
    source: serde_json::Error,
}

/// An object as JSON, with the hash of its content in an annotation.
#[derive(Clone, PartialEq)]
pub(crate) struct Rendered {
    pub kind: Kind,
    pub name: String,
    /// The hash of its content; keyed if the content is secret.
    pub hash: String,
    pub value: Value,
    /// Whether an existing object of that name without owner may be adopted: a Secret that was restored manually.
    pub adopts: bool,
    /// The resource version on which the decision is based, if the object must not be written over any other.
    pub based_on: Option<String>,
}

// Secrets are among them.
impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rendered")
            .field("kind", &self.kind)
            .field("name", &self.name)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

/// The action for an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// The object is made equal to the rendered one.
    Apply(Rendered),
    /// The object is made equal to the rendered one if it exists.
    Repair(Rendered),
    /// The object was generated just now and cannot be generated again: it is created, never overwritten.
    Create(Rendered),
    /// The existing object is kept as it is.
    Keep { kind: Kind, name: String },
    /// Only the number of replicas of the Deployment is set.
    Scale {
        name: String,
        /// The desired number of replicas.
        replicas: i32,
    },
    /// The object is deleted, if this AuthService owns it.
    Delete { kind: Kind, name: String },
}

impl Action {
    pub(super) fn apply(
        service: &Validated,
        kind: Kind,
        object: &impl Serialize,
    ) -> Result<Self, RenderError> {
        Ok(Self::Apply(render(service, kind, object)?))
    }

    pub(super) fn create(service: &Validated, object: &Secret) -> Result<Self, RenderError> {
        Ok(Self::Create(render(service, Kind::Secret, object)?))
    }

    pub(super) fn keep(kind: Kind, name: impl Into<String>) -> Self {
        Self::Keep { kind, name: name.into() }
    }

    pub(super) fn delete(kind: Kind, name: impl Into<String>) -> Self {
        Self::Delete { kind, name: name.into() }
    }

    /// The main object of a kind: it has the name of the AuthService, and is deleted if the spec does not ask for it.
    pub(super) fn apply_or_delete(
        service: &Validated,
        kind: Kind,
        object: Option<impl Serialize>,
    ) -> Result<Self, RenderError> {
        match object {
            Some(object) => Self::apply(service, kind, &object),
            None => Ok(Self::delete(kind, service.names.base())),
        }
    }

    /// The same for a kind that may not be installed.
    pub(super) fn of_optional_kind(
        service: &Validated,
        external_state: &ExternalState,
        kind: Kind,
        object: Option<impl Serialize>,
    ) -> Result<Self, RenderError> {
        match external_state.optional.presence(kind) {
            Presence::Present => Self::apply_or_delete(service, kind, object),
            Presence::Absent | Presence::Unknown => Ok(Self::keep(kind, service.names.base())),
        }
    }

    /// The same for another object than the main one of its kind.
    pub(super) fn named_of_optional_kind(
        service: &Validated,
        external_state: &ExternalState,
        (kind, name): (Kind, &str),
        object: Option<impl Serialize>,
    ) -> Result<Self, RenderError> {
        match (external_state.optional.presence(kind), object) {
            (Presence::Present, Some(object)) => Self::apply(service, kind, &object),
            (Presence::Present, None) => Ok(Self::delete(kind, name)),
            (Presence::Absent | Presence::Unknown, _) => Ok(Self::keep(kind, name)),
        }
    }

    /// The kind and name of the object.
    pub(crate) fn target(&self) -> (Kind, &str) {
        match self {
            Self::Apply(rendered) | Self::Repair(rendered) | Self::Create(rendered) => {
                (rendered.kind, &rendered.name)
            }
            Self::Keep { kind, name } | Self::Delete { kind, name } => (*kind, name),
            Self::Scale { name, .. } => (Kind::Deployment, name),
        }
    }

    /// Only applied over this version of the object.
    pub(super) fn based_on(self, version: Option<String>) -> Self {
        match self {
            Self::Apply(rendered) => Self::Apply(Rendered { based_on: version, ..rendered }),
            other => other,
        }
    }

    /// Only if the object exists; also if its labels and its owner were removed.
    pub(super) fn if_it_exists(self) -> Self {
        match self {
            Self::Apply(rendered) => Self::Repair(Rendered { adopts: true, ..rendered }),
            other => other,
        }
    }

    pub(super) fn adopting(self) -> Self {
        match self {
            Self::Apply(rendered) => Self::Apply(Rendered { adopts: true, ..rendered }),
            other => other,
        }
    }
}

fn render(service: &Validated, kind: Kind, object: &impl Serialize) -> Result<Rendered, RenderError> {
    let error = |source| RenderError { kind, service: service.name.clone(), source };
    let mut value = serde_json::to_value(object).map_err(error)?;
    let content = serde_json::to_vec(&value).map_err(error)?;
    // More users may read metadata than the data of a Secret.
    let hash = match kind {
        Kind::Secret => keyed_fingerprint(&service.salt, &content),
        _ => fingerprint([content.as_slice()]),
    };
    let hash = hash[..16].to_owned();
    value["metadata"]["annotations"][RENDERED_ANNOTATION] = Value::String(hash.clone());
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    Ok(Rendered { kind, name, hash, value, adopts: false, based_on: None })
}

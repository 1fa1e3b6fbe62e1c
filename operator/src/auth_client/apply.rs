//! Writes the Secret of an AuthClient, and the finalizer and the annotations of the AuthClient itself. Every write names
//! the version that was inspected.

use std::sync::Arc;
use std::time::Instant;

use kube::api::{ListParams, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use latchkey_crds::AuthClient;
use serde_json::{Value, json};

use super::context::Context;
use super::decide::RenderedSecret;
use crate::auth_service::NO_VERSION;
use crate::auth_service::problem::Problem;
use crate::cluster::cached_object::CachedObject;
use crate::cluster::kinds::Kind;
use crate::names::{OPERATOR, RENDERED_ANNOTATION, registration_finalizer};

/// A write failed, for a possibly temporary reason.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// The API server did not respond, or asked for a retry.
    #[error("the {kind} {name} could not be written: {source}")]
    Request { kind: &'static str, name: String, source: Box<kube::Error> },
    /// The object was changed since it was read; the reconcile is repeated.
    #[error("the {kind} {name} has changed in the meantime")]
    Outdated { kind: &'static str, name: String },
    /// The AuthClient was deleted.
    #[error("the AuthClient was deleted")]
    Gone,
}

/// Applies the Secret. `live` is the Secret of that name, which belongs to the AuthClient if it exists. Returns the problem
/// if the Secret cannot be written until a user acts.
///
/// # Errors
/// When the API server does not respond, or the Secret has changed.
pub(crate) async fn apply_secret(
    client: &AuthClient,
    rendered: &RenderedSecret,
    live: Option<&DynamicObject>,
    context: &Context,
) -> Result<Option<Problem>, ApplyError> {
    if live.is_some_and(|live| rendered.is_in(live)) {
        return Ok(None);
    }
    let namespace = client.namespace().unwrap_or_default();
    let name = &rendered.name;
    let hash = |annotations: &Value| annotations[RENDERED_ANNOTATION].as_str().map(str::to_owned);
    let is_repair = live.is_some_and(|live| {
        live.annotations().get(RENDERED_ANNOTATION).cloned()
            == hash(&rendered.value["metadata"]["annotations"])
    });
    if is_repair {
        let uid = client.uid().unwrap_or_default();
        let may =
            context.with_memory(&uid, |memory| memory.repairs.may_repair(Kind::Secret, name, Instant::now()));
        if !may {
            let message = format!(
                "Another writer keeps changing the Secret {name}; the operator repairs it once a second: stop the writer."
            );
            return Ok(Some(Problem::new("Contested", message)));
        }
    }
    let mut value = rendered.value.clone();
    let mut parameters = PatchParams::apply(OPERATOR);
    match live {
        Some(live) => {
            parameters = parameters.force();
            value["metadata"]["uid"] = json!(live.uid());
            value["metadata"]["resourceVersion"] = json!(live.resource_version());
        }
        None => value["metadata"]["resourceVersion"] = json!(NO_VERSION),
    }
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &namespace, &Kind::Secret.api_resource());
    match api.patch(name, &parameters, &Patch::Apply(&value)).await {
        Ok(written) => {
            context.metrics.applied(Kind::Secret);
            tracing::info!(kind = "Secret", name, namespace, "applied");
            let written = Arc::new(CachedObject::new(Kind::Secret, written));
            context.cache.client_secrets.store(&namespace, name, written);
            Ok(None)
        }
        Err(kube::Error::Api(status)) if status.code == 409 => {
            Err(ApplyError::Outdated { kind: "Secret", name: name.clone() })
        }
        // The response for a Secret may repeat its content.
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => Ok(Some(Problem::new(
            "ApplyRefused",
            format!("The API server refused to write the Secret {name}: {}.", status.reason),
        ))),
        Err(source) => {
            Err(ApplyError::Request { kind: "Secret", name: name.clone(), source: Box::new(source) })
        }
    }
}

/// Adds the finalizer, which confirms that the AuthClient still exists. Returns its resource version.
///
/// # Errors
/// When the API server does not respond, or the AuthClient has changed.
pub(crate) async fn add_finalizer(
    client: &AuthClient,
    context: &Context,
) -> Result<Option<String>, ApplyError> {
    let finalizer = registration_finalizer();
    if client.finalizers().contains(&finalizer) {
        return Ok(client.resource_version());
    }
    let mut finalizers = client.finalizers().to_vec();
    finalizers.push(finalizer);
    let version =
        patch_metadata(client, client.resource_version(), json!({ "finalizers": finalizers }), context)
            .await?;
    // The write named the version that was read.
    let (uid, generation) = (client.uid().unwrap_or_default(), client.metadata.generation);
    context.with_memory(&uid, |memory| memory.verified_generation = generation);
    Ok(version)
}

/// Verifies that the AuthClient exists with this spec, and is not to be deleted.
///
/// # Errors
/// When the API server does not respond, or the AuthClient has changed.
pub(crate) async fn verify(client: &AuthClient, context: &Context) -> Result<(), ApplyError> {
    let name = client.name_any();
    let api: Api<AuthClient> =
        Api::namespaced(context.client.clone(), &client.namespace().unwrap_or_default());
    // A list without a resource version is the most recent one. The operator has no right to get AuthClients.
    let this = ListParams::default().fields(&format!("metadata.name={name}"));
    let live = match api.list_metadata(&this).await {
        Ok(live) => live,
        Err(source) => {
            return Err(ApplyError::Request { kind: "AuthClient", name, source: Box::new(source) });
        }
    };
    let is_current = live.iter().any(|live| {
        live.uid() == client.uid()
            && live.metadata.generation == client.metadata.generation
            && live.metadata.deletion_timestamp.is_none()
    });
    if is_current { Ok(()) } else { Err(ApplyError::Outdated { kind: "AuthClient", name }) }
}

/// Removes the finalizer.
///
/// # Errors
/// When the API server does not respond, or the AuthClient has changed.
pub(crate) async fn remove_finalizer(client: &AuthClient, context: &Context) -> Result<(), ApplyError> {
    let finalizer = registration_finalizer();
    let finalizers: Vec<_> = client.finalizers().iter().filter(|other| **other != finalizer).collect();
    match patch_metadata(client, client.resource_version(), json!({ "finalizers": finalizers }), context)
        .await
    {
        Err(ApplyError::Gone) => Ok(()),
        result => result.map(drop),
    }
}

/// Removes annotations. Returns the resource version of the AuthClient.
///
/// # Errors
/// When the API server does not respond, or the AuthClient has changed.
pub(crate) async fn remove_annotations(
    client: &AuthClient,
    version: Option<String>,
    names: &[&str],
    context: &Context,
) -> Result<Option<String>, ApplyError> {
    if names.is_empty() {
        return Ok(version);
    }
    let annotations: serde_json::Map<_, _> =
        names.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    patch_metadata(client, version, json!({ "annotations": annotations }), context).await
}

async fn patch_metadata(
    client: &AuthClient,
    version: Option<String>,
    mut metadata: Value,
    context: &Context,
) -> Result<Option<String>, ApplyError> {
    let api: Api<AuthClient> =
        Api::namespaced(context.client.clone(), &client.namespace().unwrap_or_default());
    metadata["uid"] = json!(client.uid());
    metadata["resourceVersion"] = json!(version);
    let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    let name = client.name_any();
    let change = Patch::Merge(json!({ "metadata": metadata }));
    match api.patch_metadata(&name, &parameters, &change).await {
        Ok(written) => Ok(written.resource_version()),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(ApplyError::Gone),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            Err(ApplyError::Outdated { kind: "AuthClient", name })
        }
        Err(source) => Err(ApplyError::Request { kind: "AuthClient", name, source: Box::new(source) }),
    }
}

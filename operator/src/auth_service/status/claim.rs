//! Records in the status which operator reconciles an AuthService.

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use latchkey_crds::{AuthService, AuthServiceStatus};
use serde_json::json;

use super::error::StatusError;
use crate::auth_service::context::{Context, WrittenStatus};
use crate::cluster::observed::Observed;
use crate::names::OPERATOR;

/// Writes the operator that reconciles an AuthService, and the one that asks for it. Returns whether the API server
/// stores them; one with an older definition does not.
///
/// # Errors
/// When the status could not be written.
pub(crate) async fn write_claim(
    auth_service: &AuthService,
    operator: Option<&str>,
    request: Option<&str>,
    context: &Context,
) -> Result<bool, StatusError> {
    let before = context.last_status(auth_service);
    let status = AuthServiceStatus {
        operator: operator.map(str::to_owned),
        operator_request: request.map(str::to_owned),
        ..before
    };
    let change = json!({
        // With the version, two operators cannot both believe that they were first.
        "metadata": { "resourceVersion": context.last_version(auth_service) },
        "status": { "operator": operator, "operatorRequest": request },
    });
    let api: Api<Observed> =
        Api::namespaced(context.client.clone(), &auth_service.namespace().unwrap_or_default());
    let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    let uid = auth_service.uid().unwrap_or_default();
    context.cache.written_statuses.note(&uid, &status);
    match api.patch_status(&auth_service.name_any(), &parameters, &Patch::Merge(&change)).await {
        Ok(written) => {
            context.metrics.status_updated();
            let stored = written.salvaged().status.clone().unwrap_or_default();
            let kept =
                stored.operator == status.operator && stored.operator_request == status.operator_request;
            context.with_memory(&uid, |memory| {
                // The write names the resource version, so that the spec was the present one.
                memory.verified_generation = auth_service.metadata.generation;
                memory.status = auth_service.resource_version().map(|replaced| WrittenStatus {
                    replaced,
                    version: written.resource_version(),
                    status: AuthServiceStatus {
                        operator: stored.operator,
                        operator_request: stored.operator_request,
                        ..status
                    },
                });
            });
            Ok(kept)
        }
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Err(StatusError::Outdated),
        Err(error) => Err(StatusError::Write(error)),
    }
}

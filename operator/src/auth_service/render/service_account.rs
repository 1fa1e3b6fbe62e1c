//! The ServiceAccount of the server's pods. The operator gives it no permissions, and its token is mounted only for workload
//! identity, which a cluster administrator permits.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::metadata::metadata;
use crate::auth_service::validate::Validated;
use crate::names::Component;

pub(super) fn build(service: &Validated) -> ServiceAccount {
    let annotations = &service.spec.service_account.annotations;
    let mut metadata = metadata(service, service.names.base(), Component::Server);
    metadata.annotations = (!annotations.is_empty()).then(|| annotations.clone());
    ServiceAccount { metadata, automount_service_account_token: Some(false), ..ServiceAccount::default() }
}

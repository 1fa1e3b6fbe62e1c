//! The ServiceAccount of the server's pods. It has no permissions and no mounted token: the server does not use the
//! Kubernetes API.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::metadata::metadata;
use crate::auth_service::validate::Validated;
use crate::names::Component;

pub(super) fn build(service: &Validated) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(service, service.names.base(), Component::Server),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

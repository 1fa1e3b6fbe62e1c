//! The Secret of the registry of OAuth clients.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use latchkey_clients::Registry;

use super::metadata::metadata;
use crate::auth_service::validate::Validated;
use crate::names::{CLIENTS_KEY, Component};

pub(super) fn build(service: &Validated, registry: &Registry) -> Secret {
    Secret {
        metadata: metadata(service, service.names.clients(), Component::Server),
        data: Some([(CLIENTS_KEY.to_owned(), ByteString(registry.to_gzip()))].into()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

//! The ConfigMap of the server's settings: its environment variables. It contains paths of secrets, not their values.

use k8s_openapi::api::core::v1::ConfigMap;
use latchkey_config::Settings;

use super::metadata::metadata;
use crate::auth_service::validate::Validated;
use crate::names::Component;

pub(super) fn build(service: &Validated, settings: &Settings) -> ConfigMap {
    ConfigMap {
        metadata: metadata(service, service.names.settings(), Component::Server),
        data: Some(settings.to_variables()),
        ..ConfigMap::default()
    }
}

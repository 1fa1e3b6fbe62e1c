//! The ConfigMap of the issuer and the public keys, for gateways and jobs that cannot fetch them.

use k8s_openapi::api::core::v1::ConfigMap;

use super::metadata::metadata;
use crate::auth_service::validate::Validated;
use crate::names::{Component, ISSUER_KEY, JWKS_KEY};
use crate::signing_keys::KeySet;

pub(super) fn build(service: &Validated, issuer: &str, keys: &KeySet) -> ConfigMap {
    ConfigMap {
        metadata: metadata(service, service.names.jwks(), Component::Server),
        data: Some(
            [(ISSUER_KEY.to_owned(), issuer.to_owned()), (JWKS_KEY.to_owned(), keys.public_json())].into(),
        ),
        ..ConfigMap::default()
    }
}

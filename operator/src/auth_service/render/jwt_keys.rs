//! The Secret of the signing keys.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::metadata::{metadata, retained};
use crate::auth_service::retention::retains_keys;
use crate::auth_service::validate::Validated;
use crate::names::{Component, KEYS_KEY, SALT_KEY};
use crate::signing_keys::KeySet;

pub(super) fn build(service: &Validated, keys: &KeySet) -> Secret {
    let mut metadata = metadata(service, service.names.jwt_keys(), Component::Server);
    if retains_keys(&service.spec) {
        metadata = retained(service, Component::Server, metadata);
    }
    Secret {
        metadata,
        data: Some(BTreeMap::from([
            (KEYS_KEY.to_owned(), ByteString(keys.json().to_vec())),
            (SALT_KEY.to_owned(), ByteString(service.salt.expose().as_bytes().to_vec())),
        ])),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

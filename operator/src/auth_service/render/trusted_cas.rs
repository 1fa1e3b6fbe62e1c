//! The Secret of the certificate authorities: a validated copy of all referenced ones, so that running pods are not
//! affected if a source is damaged or deleted later.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, Volume, VolumeMount};

use super::metadata::metadata;
use super::pod;
use crate::auth_service::validate::{Validated, paths};
use crate::names::Component;

/// The name of the volume in a pod.
const VOLUME: &str = "trusted-cas";

pub(super) fn build(service: &Validated, certificates: &str) -> Secret {
    Secret {
        metadata: metadata(service, service.names.trusted_cas(), Component::Server),
        data: Some(BTreeMap::from([(paths::CA_FILE.to_owned(), ByteString(certificates.into()))])),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

/// Where a pod finds them.
pub(super) fn files(service: &Validated) -> (Volume, VolumeMount) {
    let items = [(paths::CA_FILE, paths::CA_FILE)];
    (
        pod::secret_volume_of(VOLUME, &service.names.trusted_cas(), &items),
        pod::read_only(VOLUME, paths::TRUSTED_CAS),
    )
}

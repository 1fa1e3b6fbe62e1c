//! Settings that all pods share, so that each complies with the Pod Security Standard `restricted`.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    Capabilities, EmptyDirVolumeSource, KeyToPath, LocalObjectReference, PodSecurityContext,
    ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use latchkey_config::SecretText;
use latchkey_crds::auth_service::ClientCertificateRef;

use crate::auth_service::validate::{SecretKey, Validated, paths};

/// The address families of every Service: both, where the cluster has both.
pub(super) const IP_FAMILIES: &str = "PreferDualStack";
/// Readable only by the group of `fsGroup`.
const SECRET_MODE: i32 = 0o440;

pub(super) fn pod_security(service: &Validated, user: i64) -> PodSecurityContext {
    let user = service.assigns_users.then_some(user);
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: user,
        run_as_group: user,
        fs_group: user,
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

pub(super) fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}

/// Requests of CPU and memory, and a limit of memory. There is no CPU limit: it would throttle logins while the node
/// is idle.
pub(super) fn resources(cpu: &str, memory: &str, memory_limit: &str) -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned()))).collect()
    };
    ResourceRequirements {
        requests: Some(quantities(&[("cpu", cpu), ("memory", memory)])),
        limits: Some(quantities(&[("memory", memory_limit)])),
        claims: None,
    }
}

pub(super) fn pull_secrets(service: &Validated) -> Option<Vec<LocalObjectReference>> {
    let secrets = &service.spec.image.pull_secrets;
    (!secrets.is_empty())
        .then(|| secrets.iter().map(|secret| LocalObjectReference { name: secret.name.clone() }).collect())
}

/// A volume with one key of a Secret, as the file `path`.
pub(super) fn secret_volume(name: &str, source: &SecretKey, path: &str) -> Volume {
    secret_volume_of(name, &source.secret, &[(source.key.as_str(), path)])
}

/// The same volume, whose Secret need not exist for a pod to start.
pub(super) fn optional(mut volume: Volume) -> Volume {
    if let Some(secret) = &mut volume.secret {
        secret.optional = Some(true);
    }
    volume
}

/// A volume with some keys of a Secret, each as a file.
pub(super) fn secret_volume_of(name: &str, secret: &str, items: &[(&str, &str)]) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            default_mode: Some(SECRET_MODE),
            items: Some(
                items
                    .iter()
                    .map(|(key, path)| KeyToPath {
                        key: (*key).to_owned(),
                        path: (*path).to_owned(),
                        ..KeyToPath::default()
                    })
                    .collect(),
            ),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The files of a client certificate, if the spec has one. They are mounted as a directory, so that a renewed
/// certificate replaces them.
pub(super) fn client_certificate(
    reference: Option<&ClientCertificateRef>,
    name: &str,
    folder: &str,
) -> Option<(Volume, VolumeMount)> {
    let reference = reference?;
    let items = [
        (reference.certificate_key.as_str(), paths::CERTIFICATE_FILE),
        (reference.private_key_key.as_str(), paths::PRIVATE_KEY_FILE),
    ];
    Some((secret_volume_of(name, &reference.name, &items), read_only(name, folder)))
}

pub(super) fn empty_volume(name: &str) -> Volume {
    Volume { name: name.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

pub(super) fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

pub(super) fn read_only(name: &str, path: &str) -> VolumeMount {
    VolumeMount { read_only: Some(true), ..mount(name, path) }
}

pub(super) fn secret_data<'a>(
    entries: impl IntoIterator<Item = (&'static str, &'a SecretText)>,
) -> BTreeMap<String, ByteString> {
    entries
        .into_iter()
        .map(|(key, text)| (key.to_owned(), ByteString(text.expose().as_bytes().to_vec())))
        .collect()
}

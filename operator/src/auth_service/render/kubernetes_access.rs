//! The volume with which a server reviews tokens of workloads: the token of its own ServiceAccount and the authority of the
//! API server. Pods get no token otherwise.

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, KeyToPath, ProjectedVolumeSource, ServiceAccountTokenProjection, Volume,
    VolumeProjection,
};

pub(super) const VOLUME: &str = "kubernetes";
/// The ConfigMap that Kubernetes keeps in every namespace.
const AUTHORITIES: &str = "kube-root-ca.crt";
/// The lifetime of the token. The kubelet replaces it when most of it is over.
const LIFETIME_SECONDS: i64 = 3600;
/// As for Secrets: readable only by the group of `fsGroup`.
const MODE: i32 = 0o440;

pub(super) fn volume() -> Volume {
    let token = ServiceAccountTokenProjection {
        audience: None,
        expiration_seconds: Some(LIFETIME_SECONDS),
        path: "token".to_owned(),
        ..ServiceAccountTokenProjection::default()
    };
    let authorities = ConfigMapProjection {
        name: AUTHORITIES.to_owned(),
        items: Some(vec![KeyToPath {
            key: "ca.crt".to_owned(),
            path: "ca.crt".to_owned(),
            ..KeyToPath::default()
        }]),
        optional: None,
    };
    Volume {
        name: VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(MODE),
            sources: Some(vec![
                VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() },
                VolumeProjection { config_map: Some(authorities), ..VolumeProjection::default() },
            ]),
            ..ProjectedVolumeSource::default()
        }),
        ..Volume::default()
    }
}

//! The result of validation: an AuthService that the renderer can trust.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;
use latchkey_config::{SecretText, Settings};
use latchkey_crds::AuthServiceSpec;
use latchkey_crds::auth_service::ClientCertificateRef;

use crate::auth_service::dereference::{ClientRegistry, Rotation, SmtpLogin};
use crate::auth_service::problem::Problem;
use crate::credentials::StorePassword;
use crate::names::Names;
use crate::signing_keys::KeyMaterial;

use super::ports::Ports;

/// A key of a Secret that pods mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretKey {
    pub secret: String,
    pub key: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Embedded {
    pub password: StorePassword,
    /// The URL for the server, unless the password is lost.
    pub url: Option<SecretText>,
    pub image: String,
    /// Its volume, if it has one.
    pub storage: Option<String>,
    /// The default image, if it is not used because it cannot read the volume.
    pub held_back: Option<String>,
    /// The metadata of the existing StatefulSet's claim template, if it has one.
    pub claim: Option<ObjectMeta>,
    /// Whether volume and credentials are retained when they are no longer used.
    pub retained: bool,
}

/// The inputs of the server's pods, if all of them are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub settings: Settings,
    /// The SMTP credentials for their Secret.
    pub smtp: Option<SmtpLogin>,
    /// The certificate authorities for their Secret, in PEM form.
    pub trusted_cas: Option<String>,
    /// Hash of the settings and of all mounted Secrets except the key set.
    pub checksum: String,
    /// Identifies the database; a hash.
    pub database: String,
    /// Identifies the image and the database, without the password.
    pub migration: String,
    /// Hash of all inputs of a migration.
    pub migration_inputs: String,
    /// The seconds after which a migration is ended.
    pub migration_deadline: i64,
    /// The ports of its dependencies.
    pub ports: Ports,
}

/// What the spec asks for, with every reference resolved: an AuthService that the renderer can trust. What exists
/// already is in [`ExternalState`](crate::auth_service::dereference::ExternalState).
#[derive(Debug, Clone)]
pub(crate) struct Validated {
    pub name: String,
    pub namespace: String,
    /// The generation of the spec.
    pub generation: Option<i64>,
    /// The names of its objects.
    pub names: Names,
    /// The owner reference of its objects.
    pub owner: OwnerReference,
    pub spec: AuthServiceSpec,
    /// The server's image.
    pub image: String,
    /// The override of the pod template of the server.
    pub pod_template: Option<Box<PodTemplateSpec>>,
    /// Whether pods name their user and groups.
    pub assigns_users: bool,
    /// The mounted key with the database URL.
    pub database_url: SecretKey,
    /// The mounted key with the Redis URL.
    pub redis_url: SecretKey,
    /// The embedded PostgreSQL, unless the database is external.
    pub postgres: Option<Embedded>,
    /// The embedded Valkey, unless Redis is external.
    pub redis: Option<Embedded>,
    pub keys: KeyMaterial,
    /// The authorities of the certificate of the API port, if its Secret contains them.
    pub api_ca: Option<String>,
    /// The rotation state that belongs to the keys.
    pub rotation: Rotation,
    /// The salt of hashes of secrets in annotations.
    pub salt: SecretText,
    /// The registry of OAuth clients.
    pub clients: ClientRegistry,
    /// The server, or the problem that prevents it.
    pub server: Result<Server, Problem>,
    /// The first problem with a referenced Secret.
    pub secrets: Result<(), Problem>,
}

impl Validated {
    /// The Secret with the certificate of the API port, if that has one.
    pub(crate) fn tls_secret(&self) -> Option<String> {
        let secret = self.spec.tls.as_ref()?.secret_ref.as_ref();
        Some(secret.map_or_else(|| self.names.api_tls(), |secret| secret.name.clone()))
    }

    /// The name and the number of the Service's port.
    pub(crate) fn service_port(&self) -> (&'static str, i32) {
        if self.spec.tls.is_some() { ("https", 443) } else { ("http", 80) }
    }

    /// The client certificate for the external database.
    pub(crate) fn database_client(&self) -> Option<&ClientCertificateRef> {
        self.spec.database.client_certificate_secret_ref.as_ref()
    }

    /// The client certificate for the external Redis.
    pub(crate) fn redis_client(&self) -> Option<&ClientCertificateRef> {
        self.spec.redis.client_certificate_secret_ref.as_ref()
    }
}

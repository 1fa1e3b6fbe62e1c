//! The result of validation: an AuthService that the renderer can trust.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use latchkey_config::{SecretText, Settings};
use latchkey_crds::AuthServiceSpec;

use crate::auth_service::dereference::{ExternalState, Rotation, SmtpLogin};
use crate::auth_service::problem::Problem;
use crate::auth_service::server_reports::Answer;
use crate::auth_service::shared_database::Sharing;
use crate::cluster::cache::Optional;
use crate::credentials::StorePassword;
use crate::names::Names;
use crate::signing_keys::KeyMaterial;

use super::ports::Ports;

/// A key of a Secret that pods mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretKey {
    /// The Secret.
    pub secret: String,
    /// The key.
    pub key: String,
}

/// An embedded store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedded {
    /// Its password.
    pub password: StorePassword,
    /// The URL under which the server reaches it, unless the password is lost.
    pub url: Option<SecretText>,
    /// Its image.
    pub image: String,
    /// Its volume, if it has one.
    pub storage: Option<String>,
    /// Whether it is ready.
    pub ready: bool,
    /// An image that it is held back from, since it could not read the volume.
    pub held_back: Option<String>,
    /// Whether volume and credentials stay when they are no longer used.
    pub retained: bool,
}

/// What the server's pods are made of, when everything that it needs is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The settings.
    pub settings: Settings,
    /// The login that goes into the SMTP Secret.
    pub smtp: Option<SmtpLogin>,
    /// The certificate authorities that go into a Secret, in PEM form.
    pub trusted_cas: Option<String>,
    /// Hash of the settings and of every mounted Secret but the key set.
    pub checksum: String,
    /// Names the database; a hash.
    pub database: String,
    /// Names image and database, without the password.
    pub migration: String,
    /// Hash of all that a migration is given.
    pub migration_inputs: String,
    /// The ports of what it talks to.
    pub ports: Ports,
}

/// An AuthService that builders can trust.
#[derive(Debug, Clone)]
pub struct Validated {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The names of what it owns.
    pub names: Names,
    /// The owner reference that all of it carries.
    pub owner: OwnerReference,
    /// The spec.
    pub spec: AuthServiceSpec,
    /// The server's image.
    pub image: String,
    /// Where the database URL is mounted from.
    pub database_url: SecretKey,
    /// Where the Redis URL is mounted from.
    pub redis_url: SecretKey,
    /// The embedded PostgreSQL, when the database is not external.
    pub postgres: Option<Embedded>,
    /// The embedded Valkey, when Redis is not external.
    pub redis: Option<Embedded>,
    /// The signing keys.
    pub keys: KeyMaterial,
    /// What goes with them.
    pub rotation: Rotation,
    /// What is mixed into hashes of secrets that stand where others may read them.
    pub salt: SecretText,
    /// The server, or what is missing for it.
    pub server: Result<Server, Problem>,
    /// The first problem with a referenced Secret.
    pub secrets: Result<(), Problem>,
    /// Who else uses the external database.
    pub sharing: Sharing,
    /// The migration Jobs that there are.
    pub jobs: Vec<Job>,
    /// The Deployment, as last seen.
    pub deployment: Option<Deployment>,
    /// The server's pods, by name.
    pub pods: Vec<Pod>,
    /// What each of them says of itself.
    pub answers: Vec<Answer>,
    /// The migration's pods, by name.
    pub migration_pods: Vec<Pod>,
    /// Which of the optional kinds the cluster knows.
    pub optional: Optional,
    /// What the service is embedded in.
    pub external_state: ExternalState,
}

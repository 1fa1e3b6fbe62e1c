//! Turns the spec and what was found into a type that builders can trust. Pure.

mod image;
mod migration;
mod ports;
mod replicas;
mod secret_values;
mod settings;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use latchkey_config::{FirstSuperuser, SecretText, Settings};
use latchkey_crds::auth_service as api;
use latchkey_crds::{AuthService, AuthServiceSpec};

use crate::cache::Optional;
use crate::context::Images;
use crate::credentials::StorePassword;
use crate::fingerprint::fingerprint;
use crate::names::Names;
use crate::signing_keys::KeyMaterial;

use super::dereference::{Dereferenced, Rotation, SmtpLogin, Surroundings};
use super::postgres_image::decide_postgres_image;
use super::replicas::Answer;
use super::shared_database::{Sharing, database_id};

use migration::{migration_inputs, without_login};

pub use image::tag_of;
pub use ports::Ports;
pub use replicas::first_replicas;

/// Where the server's pods find their files.
pub mod paths {
    /// The key set's folder.
    pub const KEYS: &str = "/etc/latchkey/keys";
    /// The database URL's folder.
    pub const DATABASE: &str = "/etc/latchkey/database";
    /// The Redis URL's folder.
    pub const REDIS: &str = "/etc/latchkey/redis";
    /// The SMTP login's folder.
    pub const SMTP: &str = "/etc/latchkey/smtp";
    /// The first superuser's folder.
    pub const ADMIN: &str = "/etc/latchkey/admin";
    /// The folder of mail texts.
    pub const TEMPLATES: &str = "/etc/latchkey/mail";
    /// The folder of the secret that programs introspect tokens with.
    pub const INTROSPECTION: &str = "/etc/latchkey/introspection";
    /// The folder of the certificate authorities.
    pub const TRUSTED_CAS: &str = "/etc/latchkey/trusted-cas";
    /// The file in it.
    pub const CA_FILE: &str = "ca.crt";
}

/// Something that the user can set right; it becomes a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The condition's reason.
    pub reason: &'static str,
    /// One sentence that says what to do.
    pub message: String,
}

impl Problem {
    /// A problem.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    fn spec(message: impl Into<String>) -> Self {
        Self::new("InvalidSpec", message)
    }
}

/// The object is not what the API server returns.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// It lacks a name, a namespace or a uid.
    #[error("the AuthService has no name, namespace or uid")]
    NoIdentity,
}

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
    pub surroundings: Surroundings,
}

/// Turns the spec and what was found into a type that builders can trust.
///
/// # Errors
/// When the object is not what the API server returns.
pub fn validate(
    auth_service: &AuthService,
    found: Dereferenced,
    images: &Images,
) -> Result<Validated, ValidateError> {
    let spec = auth_service.spec.clone();
    let (Some(namespace), Some(owner)) = (auth_service.namespace(), auth_service.controller_owner_ref(&()))
    else {
        return Err(ValidateError::NoIdentity);
    };
    let name = auth_service.name_any();
    let names = Names::new(&name);
    let image = image::server_image(&spec.image, &images.server);
    let secrets = first_problem(&found).and_then(|()| secret_values::check(&found));
    let postgres_image = decide_postgres_image(&images.postgres, found.postgres_image.as_deref());
    let postgres = found.postgres_password.clone().map(|password| Embedded {
        url: password.text().map(|text| {
            let host = format!("{}.{namespace}.svc:5432", names.postgres());
            // It has no TLS, which has to be said where there are authorities to check a certificate by.
            let query = if spec.trusted_cas.is_empty() { "" } else { "?sslmode=disable" };
            SecretText::new(format!("postgres://latchkey:{}@{host}/latchkey{query}", text.expose()))
        }),
        password,
        image: postgres_image.image,
        held_back: postgres_image.held_back,
        storage: spec.database.embedded.as_ref().and_then(|embedded| embedded.storage.clone()),
        retained: retains(&spec),
        ready: found.postgres_ready,
    });
    let redis = found.redis_password.clone().map(|password| Embedded {
        url: password.text().map(|text| {
            SecretText::new(format!("redis://:{}@{}.{namespace}.svc:6379", text.expose(), names.redis()))
        }),
        password,
        image: images.valkey.clone(),
        storage: None,
        ready: false,
        held_back: None,
        retained: false,
    });
    let server = secrets.clone().and_then(|()| {
        let database = url_of(found.database_url, postgres.as_ref(), &names.postgres())?;
        if let Sharing::Refused(other) = &found.sharing {
            return Err(Problem::new("DatabaseShared", super::status::database_shared(other)));
        }
        let redis = url_of(found.redis_url, redis.as_ref(), &names.redis())?;
        let admin = found.admin.transpose()?;
        let smtp = found.smtp.transpose()?;
        let introspection = found.introspection_secret.transpose()?;
        let trusted_cas = found.trusted_cas.transpose()?;
        let superuser = admin.as_ref().map(|admin| FirstSuperuser {
            username: admin.username.clone(),
            email: admin.email.clone(),
            password: settings::file(paths::ADMIN, "password"),
        });
        let templates = found.surroundings.templates.clone().transpose()?;
        let settings = settings::settings(&spec, &name, &namespace, superuser)?;
        let mut parts: Vec<String> =
            settings.to_variables().into_iter().flat_map(|(name, value)| [name, value]).collect();
        parts.extend([database.expose().to_owned(), redis.expose().to_owned()]);
        parts.extend(admin.map(|admin| admin.password.expose().to_owned()));
        parts.extend(
            smtp.iter()
                .flat_map(|login| [login.username.expose().to_owned(), login.password.expose().to_owned()]),
        );
        parts.extend(templates);
        parts.extend(trusted_cas.clone());
        parts.extend(introspection.map(|secret| secret.expose().to_owned()));
        // The salt is secret: who may read Deployments and Jobs must not be able to try passwords out.
        parts.push(found.salt.expose().to_owned());
        let migration = fingerprint([image.as_bytes(), without_login(&database).as_bytes()]);
        Ok(Server {
            ports: ports::ports(&database, &redis, &settings),
            settings,
            smtp,
            checksum: fingerprint(parts.iter().map(String::as_bytes)),
            database: database_id(&database, &namespace).unwrap_or_default(),
            migration: migration[..10].to_owned(),
            migration_inputs: migration_inputs(&spec, &image, &database, &found.salt, trusted_cas.as_deref()),
            trusted_cas,
        })
    });
    Ok(Validated {
        database_url: secret_key(spec.database.url_secret_ref.as_ref(), names.postgres()),
        redis_url: secret_key(spec.redis.url_secret_ref.as_ref(), names.redis()),
        postgres,
        redis,
        keys: found.keys,
        rotation: found.rotation,
        salt: found.salt,
        server,
        secrets,
        sharing: found.sharing,
        jobs: found.jobs,
        deployment: found.deployment,
        pods: found.pods,
        answers: found.answers,
        migration_pods: found.migration_pods,
        optional: found.optional,
        surroundings: found.surroundings,
        name,
        namespace,
        names,
        owner,
        spec,
        image,
    })
}

fn first_problem(found: &Dereferenced) -> Result<(), Problem> {
    [
        found.database_url.as_ref().and_then(|result| result.as_ref().err()),
        found.redis_url.as_ref().and_then(|result| result.as_ref().err()),
        found.smtp.as_ref().and_then(|result| result.as_ref().err()),
        found.admin.as_ref().and_then(|result| result.as_ref().err()),
        found.introspection_secret.as_ref().and_then(|result| result.as_ref().err()),
        found.trusted_cas.as_ref().and_then(|result| result.as_ref().err()),
    ]
    .into_iter()
    .flatten()
    .next()
    .map_or(Ok(()), |problem| Err(problem.clone()))
}

/// Whether the volume of the embedded PostgreSQL outlives its use.
pub(super) fn retains(spec: &AuthServiceSpec) -> bool {
    let embedded = spec.database.embedded.as_ref();
    embedded.is_some_and(|embedded| embedded.storage.is_some() && embedded.reclaim == api::Reclaim::Retain)
}

fn secret_key(external: Option<&api::SecretKeyRef>, own: String) -> SecretKey {
    match external {
        Some(reference) => SecretKey { secret: reference.name.clone(), key: reference.key.clone() },
        None => SecretKey { secret: own, key: "url".to_owned() },
    }
}

fn url_of(
    external: Option<Result<SecretText, Problem>>,
    embedded: Option<&Embedded>,
    secret: &str,
) -> Result<SecretText, Problem> {
    match external {
        Some(url) => url,
        None => embedded.and_then(|embedded| embedded.url.clone()).ok_or_else(|| {
            Problem::new(
                "CredentialsLost",
                format!("the Secret {secret} is gone or damaged while the volume that knows its password exists: restore the Secret from a backup."),
            )
        }),
    }
}

//! Resolves the references of the spec and reads the existing objects from the cache. Asks the API server only before
//! it reports that something irreplaceable is lost.

mod claims;
mod error;
mod external_state;
mod keys;
mod logins;
mod lookup;
mod named_objects;
mod pods;
mod trusted_cas;
mod unstored;
mod values;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use latchkey_config::SecretText;
use latchkey_crds::AuthService;

use crate::auth_service::context::Context;
use crate::auth_service::problem::Problem;
use crate::auth_service::references;
use crate::auth_service::server_reports::Answer;
use crate::auth_service::shared_database::Sharing;
use crate::cluster::cache::Optional;
use crate::cluster::kinds::Kind;
use crate::credentials::StorePassword;
use crate::names::{Component, Names};
use crate::signing_keys::KeyMaterial;

use lookup::Lookup;

pub(crate) use error::DereferenceError;
pub(crate) use external_state::ExternalState;
pub(crate) use keys::Rotation;
pub(crate) use logins::{Admin, SmtpLogin};
pub(crate) use pods::pods;

/// The input of a reconcile. A field is `None` if the spec has no such reference.
#[derive(Debug, Clone)]
pub struct Dereferenced {
    /// The URL of an external database.
    pub database_url: Option<Result<SecretText, Problem>>,
    /// The URL of an external Redis.
    pub redis_url: Option<Result<SecretText, Problem>>,
    /// The credentials for the SMTP server.
    pub smtp: Option<Result<SmtpLogin, Problem>>,
    /// The first superuser.
    pub admin: Option<Result<Admin, Problem>>,
    /// The client secret for token introspection.
    pub introspection_secret: Option<Result<SecretText, Problem>>,
    /// The certificate authorities, in PEM form.
    pub trusted_cas: Option<Result<String, Problem>>,
    /// The embedded PostgreSQL's password.
    pub postgres_password: Option<StorePassword>,
    /// The embedded Valkey's password.
    pub redis_password: Option<StorePassword>,
    /// The signing keys.
    pub keys: KeyMaterial,
    /// What goes with them.
    pub rotation: Rotation,
    /// The salt of hashes of secrets in annotations; stored beside the keys.
    pub salt: SecretText,
    /// Other users of the external database.
    pub sharing: Sharing,
    /// The image that wrote the volume of the embedded PostgreSQL, if it has a volume.
    pub postgres_image: Option<String>,
    /// Whether the embedded PostgreSQL is ready.
    pub postgres_ready: bool,
    /// The existing migration Jobs.
    pub jobs: Vec<Job>,
    /// The cached Deployment.
    pub deployment: Option<Deployment>,
    /// The server's pods, by name.
    pub pods: Vec<Pod>,
    /// The reports of the server's pods.
    pub answers: Vec<Answer>,
    /// The migration's pods, by name.
    pub migration_pods: Vec<Pod>,
    /// Which optional kinds are installed.
    pub optional: Optional,
    /// The external state.
    pub external_state: ExternalState,
}

/// Resolves the references of the spec and reads the existing objects. `answers` are the reports of the server's
/// pods.
///
/// # Errors
/// When the API server does not respond, or a key set could not be generated.
pub async fn dereference(
    auth_service: &AuthService,
    answers: Vec<Answer>,
    context: &Context,
) -> Result<Dereferenced, DereferenceError> {
    let spec = &auth_service.spec;
    let namespace = auth_service.namespace().unwrap_or_default();
    unstored::read(context, &namespace, &auth_service.name_any()).await?;
    let (secrets, config_maps) = futures::try_join!(
        named_objects::read_secrets(context, &namespace, references::secrets(auth_service)),
        named_objects::read_config_maps(context, &namespace, references::config_maps(auth_service)),
    )?;
    let lookup = Lookup::new(auth_service, context, secrets, config_maps);
    let names = Names::new(&auth_service.name_any());
    let postgres: Option<StatefulSet> = lookup.owned(Kind::StatefulSet, &names.postgres())?;
    let postgres_password = if spec.database.url_secret_ref.is_some() {
        None
    } else {
        let bound = postgres.as_ref().is_some_and(has_volume);
        let kept = lookup.retained_credentials(spec, &names.postgres());
        Some(lookup.password(&names, &names.postgres(), bound || kept).await?)
    };
    let redis_password = if spec.redis.url_secret_ref.is_some() {
        None
    } else {
        Some(lookup.password(&names, &names.redis(), false).await?)
    };
    let deployment: Option<Deployment> = lookup.owned(Kind::Deployment, names.base())?;
    let servers = pods(auth_service, context, Component::Server)?;
    let (keys, salt, rotation) = lookup
        .keys(&names.jwt_keys(), auth_service, deployment.is_some(), &keys::replicas(&servers, &answers))
        .await?;
    let database_url = spec
        .database
        .url_secret_ref
        .as_ref()
        .map(|r| lookup.value(&r.name, &r.key, "spec.database.urlSecretRef"));
    let sharing = match &database_url {
        Some(Ok(url)) => lookup.sharing(url, auth_service),
        _ => Sharing::Alone,
    };
    Ok(Dereferenced {
        database_url,
        sharing,
        postgres_image: postgres.as_ref().filter(|postgres| has_volume(postgres)).and_then(image_of),
        redis_url: spec
            .redis
            .url_secret_ref
            .as_ref()
            .map(|r| lookup.value(&r.name, &r.key, "spec.redis.urlSecretRef")),
        smtp: spec
            .email
            .smtp
            .credentials_secret_ref
            .as_ref()
            .filter(|_| spec.email.enabled)
            .map(|reference| lookup.smtp(reference)),
        admin: spec.bootstrap_admin.as_ref().map(|admin| lookup.admin(&admin.secret_ref.name)),
        introspection_secret: spec.introspection_client.as_ref().map(|client| {
            let secret = &client.secret_ref;
            lookup.value(&secret.name, &secret.key, "spec.introspectionClient.secretRef")
        }),
        trusted_cas: lookup.trusted_cas(auth_service),
        postgres_password,
        redis_password,
        keys,
        rotation,
        salt,
        postgres_ready: postgres
            .and_then(|postgres| postgres.status)
            .and_then(|status| status.ready_replicas)
            .is_some_and(|ready| ready > 0),
        jobs: lookup.jobs()?,
        deployment,
        pods: servers,
        answers,
        migration_pods: pods(auth_service, context, Component::Migration)?,
        optional: context.cache.optional(),
        external_state: lookup.external_state(auth_service, &names)?,
    })
}

fn has_volume(postgres: &StatefulSet) -> bool {
    let templates = postgres.spec.volume_claim_templates.as_ref();
    templates.is_some_and(|templates| !templates.is_empty())
}

fn image_of(postgres: &StatefulSet) -> Option<String> {
    postgres.spec.template.spec.as_ref()?.containers.first()?.image.clone()
}

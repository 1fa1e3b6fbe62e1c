//! Resolves the references of the spec and reads the existing objects from the cache. Asks the API server only before
//! it reports that something irreplaceable is lost.

mod claims;
mod client_registry;
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
mod warnings;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::ResourceExt;
use latchkey_config::SecretText;
use latchkey_crds::AuthService;

use crate::auth_service::context::Context;
use crate::auth_service::problem::Problem;
use crate::auth_service::references;
use crate::auth_service::server_reports::Answer;
use crate::auth_service::shared_database::Sharing;
use crate::auth_service::warnings::Warnings;
use crate::cluster::kinds::Kind;
use crate::credentials::StorePassword;
use crate::names::{Component, Names};
use crate::signing_keys::{KeyMaterial, Plan};

use lookup::Lookup;

pub(crate) use client_registry::ClientRegistry;
pub(crate) use error::DereferenceError;
#[cfg(test)]
pub(crate) use external_state::ExposureState;
pub(crate) use external_state::ExternalState;
pub(crate) use keys::{Rotation, is_ready};
pub(crate) use logins::{BootstrapAdmin, ClientCertificate, SmtpLogin};
pub(crate) use lookup::data_of;
pub(crate) use pods::pods;

/// The values to which the spec refers, the credentials of embedded stores, and the signing keys. A field is `None` if
/// the spec has no such reference.
#[derive(Debug, Clone)]
pub(crate) struct Dereferenced {
    /// The URL of an external database.
    pub database_url: Option<Result<SecretText, Problem>>,
    /// The client certificate for an external database.
    pub database_certificate: Option<Result<ClientCertificate, Problem>>,
    /// The client certificate for an external Redis.
    pub redis_certificate: Option<Result<ClientCertificate, Problem>>,
    /// The URL of an external Redis.
    pub redis_url: Option<Result<SecretText, Problem>>,
    /// The certificate of the API port, unless cert-manager issues it.
    pub api_certificate: Option<Result<ClientCertificate, Problem>>,
    /// The authorities of the certificate of the API port, if its Secret contains them.
    pub api_ca: Option<String>,
    /// The credentials for the SMTP server.
    pub smtp: Option<Result<SmtpLogin, Problem>>,
    /// The administrator of `spec.bootstrapAdmin`.
    pub bootstrap_admin: Option<Result<BootstrapAdmin, Problem>>,
    pub introspection_secret: Option<Result<SecretText, Problem>>,
    /// The pepper of imported passwords.
    pub password_pepper: Option<Result<SecretText, Problem>>,
    /// The certificate authorities, in PEM form.
    pub trusted_cas: Option<Result<String, Problem>>,
    /// The version of the ConfigMap with custom templates.
    pub templates: Option<Result<String, Problem>>,
    /// The embedded PostgreSQL's password.
    pub postgres_password: Option<StorePassword>,
    /// The embedded Valkey's password.
    pub redis_password: Option<StorePassword>,
    pub keys: KeyMaterial,
    /// The rotation state that belongs to the keys.
    pub rotation: Rotation,
    /// The salt of hashes of secrets in annotations; stored beside the keys.
    pub salt: SecretText,
    /// The registry of OAuth clients.
    pub clients: ClientRegistry,
}

/// Resolves the references of the spec, and reads the state of the existing objects. `plan` is the plan
/// of the key rotation, if the spec has a valid one; `answers` are the reports of the server's pods.
///
/// # Errors
/// When the API server does not respond, or a key set could not be generated.
pub(crate) async fn dereference(
    auth_service: &AuthService,
    plan: Option<&Plan>,
    answers: Vec<Answer>,
    context: &Context,
) -> Result<(Dereferenced, ExternalState), DereferenceError> {
    let spec = &auth_service.spec;
    let namespace = auth_service.namespace().unwrap_or_default();
    unstored::read(context, &namespace, &auth_service.name_any()).await?;
    let issued = references::issued_api_tls_secret(auth_service);
    let referenced = references::secrets(auth_service).chain(issued.as_deref());
    let (secrets, config_maps) = futures::try_join!(
        named_objects::read_secrets(context, &namespace, referenced),
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
        .keys(
            &names.jwt_keys(),
            auth_service,
            plan,
            deployment.is_some(),
            &keys::replicas(&servers, &answers),
        )
        .await?;
    let database_url = spec
        .database
        .url_secret_ref
        .as_ref()
        .map(|r| lookup.value(&r.name, &r.key, "spec.database.urlSecretRef"));
    let sharing = match &database_url {
        Some(Ok(url)) => lookup.sharing(url, auth_service).await?,
        _ => Sharing::Exclusive,
    };
    let clients = lookup.client_registry(auth_service, deployment.as_ref())?;
    let mut external_state = ExternalState {
        sharing,
        postgres_image: postgres.as_ref().filter(|postgres| has_volume(postgres)).and_then(image_of),
        postgres_claim: lookup.claim_template(&names.postgres()),
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
        operator_namespace: context.operator_namespace.clone(),
        exposure: lookup.exposure_state(auth_service, &names)?,
        autoscaler: lookup.autoscaler(&names)?,
        stores: warnings::stores(auth_service, context),
        warnings: Warnings::default(),
    };
    external_state.warnings = warnings::read(auth_service, &external_state, context).await;
    let dereferenced = Dereferenced {
        database_url,
        redis_url: spec
            .redis
            .url_secret_ref
            .as_ref()
            .map(|r| lookup.value(&r.name, &r.key, "spec.redis.urlSecretRef")),
        database_certificate: lookup.database_certificate(spec),
        redis_certificate: lookup.redis_certificate(spec),
        api_ca: lookup.api_ca(auth_service),
        api_certificate: references::api_tls_secret(auth_service).map(|name| lookup.api_certificate(name)),
        smtp: references::smtp_credentials(auth_service).map(|reference| lookup.smtp(reference)),
        bootstrap_admin: spec
            .bootstrap_admin
            .as_ref()
            .map(|admin| lookup.bootstrap_admin(&admin.secret_ref.name)),
        introspection_secret: spec.introspection_client.as_ref().map(|client| {
            let secret = &client.secret_ref;
            lookup.value(&secret.name, &secret.key, "spec.introspectionClient.secretRef")
        }),
        password_pepper: lookup.password_pepper(spec),
        trusted_cas: lookup.trusted_cas(auth_service),
        templates: references::templates(auth_service).map(|name| lookup.config_map_version(name)),
        postgres_password,
        redis_password,
        keys,
        rotation,
        salt,
        clients,
    };
    Ok((dereferenced, external_state))
}

fn has_volume(postgres: &StatefulSet) -> bool {
    let templates = postgres.spec.volume_claim_templates.as_ref();
    templates.is_some_and(|templates| !templates.is_empty())
}

fn image_of(postgres: &StatefulSet) -> Option<String> {
    let pod = postgres.spec.template.spec.as_ref()?;
    // Admission may have put a container of its own first.
    pod.containers.iter().find(|container| container.name == "postgres")?.image.clone()
}

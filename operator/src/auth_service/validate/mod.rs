//! Combines the spec and the values to which it refers into a type that the renderer can trust. Pure.

mod migration;
pub(crate) mod paths;
mod ports;
mod replicas;
mod secret_values;
mod settings;
mod tokens;
mod validated;

use kube::{Resource, ResourceExt};
use latchkey_config::{PasswordPolicy, SecretText};
use latchkey_crds::AuthService;
use latchkey_crds::auth_service as api;
use latchkey_crds::pod_template::check_pod_template;

use crate::auth_service::context::{Images, Installation};
use crate::auth_service::dereference::{Dereferenced, ExternalState};
use crate::auth_service::image::server_image;
use crate::auth_service::images::with_pull_secrets;
use crate::auth_service::postgres_image::decide_postgres_image;
use crate::auth_service::problem::Problem;
use crate::auth_service::retention::retains_volume;
use crate::auth_service::shared_database::{Sharing, database_id, shared_message};
use crate::credentials::StorePassword;
use crate::fingerprint::fingerprint;
use crate::names::Names;

use migration::{migration_deadline, migration_inputs, without_login};

pub(crate) use replicas::first_replicas;
pub(crate) use settings::service_url;
pub(crate) use tokens::{Tokens, validate_tokens};
pub(crate) use validated::{Embedded, SecretKey, Server, Validated};

/// The object lacks metadata that the API server always sets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValidateError {
    /// It lacks a name, a namespace or a uid.
    #[error("the AuthService has no name, namespace or uid")]
    NoIdentity,
}

/// Combines the spec and the values to which it refers into a type that the renderer can trust. The external state can
/// only forbid: a shared database, or an image that cannot read the volume.
///
/// # Errors
/// When the object lacks metadata that the API server always sets.
pub(crate) fn validate(
    auth_service: &AuthService,
    tokens: Result<Tokens, Problem>,
    found: Dereferenced,
    external_state: &ExternalState,
    installation: &Installation,
) -> Result<Validated, ValidateError> {
    let images = &installation.images;
    let spec = with_pull_secrets(auth_service.spec.clone(), &images.pull_names);
    let (Some(namespace), Some(owner)) = (auth_service.namespace(), auth_service.controller_owner_ref(&()))
    else {
        return Err(ValidateError::NoIdentity);
    };
    let name = auth_service.name_any();
    let names = Names::new(&name);
    let image = server_image(&spec.image, &images.server, &images.registry);
    let policy = policy_of_bootstrap_admin(auth_service, external_state);
    let secrets = first_problem(&found).and_then(|()| secret_values::check(&found, &policy));
    let postgres_image = decide_postgres_image(&images.postgres, external_state.postgres_image.as_deref());
    let postgres = found.postgres_password.clone().map(|password| Embedded {
        url: password.text().map(|text| {
            let host = format!("{}.{namespace}.svc:5432", names.postgres());
            // It has no TLS; with custom certificate authorities the URL must disable it explicitly.
            let query = if spec.trusted_cas.is_empty() { "" } else { "?sslmode=disable" };
            SecretText::new(format!("postgres://latchkey:{}@{host}/latchkey{query}", text.expose()))
        }),
        password,
        image: postgres_image.image,
        held_back: postgres_image.held_back,
        storage: spec.database.embedded.as_ref().and_then(|embedded| embedded.storage.clone()),
        claim: external_state.postgres_claim.clone(),
        retained: retains_volume(&spec),
    });
    let redis =
        found.redis_password.clone().map(|password| embedded_redis(password, &names, &namespace, images));
    let pod_template = check_pod_template(spec.pod_template.as_ref()).map_err(Problem::spec);
    let server = secrets.clone().and_then(|()| {
        pod_template.as_ref().map_err(Clone::clone)?;
        let database = url_of(found.database_url, postgres.as_ref(), &names.postgres())?;
        if let Sharing::Refused { other, .. } = &external_state.sharing {
            return Err(Problem::new("DatabaseShared", shared_message(other)));
        }
        let redis = url_of(found.redis_url, redis.as_ref(), &names.redis())?;
        let bootstrap_admin = found.bootstrap_admin.transpose()?;
        let smtp = found.smtp.transpose()?;
        let introspection = found.introspection_secret.transpose()?;
        let pepper = found.password_pepper.transpose()?;
        // The servers read the certificates for each connection: a renewal does not roll the pods.
        let database_certificate = found.database_certificate.transpose()?;
        found.redis_certificate.transpose()?;
        found.api_certificate.transpose()?;
        let trusted_cas = found.trusted_cas.transpose()?;
        let templates = found.templates.transpose()?;
        let settings = settings::settings(&spec, tokens?, &name, &namespace, bootstrap_admin.as_ref())?;
        let mut parts: Vec<String> =
            settings.to_variables().into_iter().flat_map(|(name, value)| [name, value]).collect();
        parts.extend([database.expose().to_owned(), redis.expose().to_owned()]);
        parts.extend(bootstrap_admin.map(|admin| admin.password.expose().to_owned()));
        parts.extend(
            smtp.iter()
                .flat_map(|login| [login.username.expose().to_owned(), login.password.expose().to_owned()]),
        );
        parts.extend(templates);
        parts.extend(trusted_cas.clone());
        parts.extend(introspection.map(|secret| secret.expose().to_owned()));
        parts.extend(pepper.map(|secret| secret.expose().to_owned()));
        // The salt is secret, so that a user who may read Deployments and Jobs cannot guess passwords with the hash.
        parts.push(found.salt.expose().to_owned());
        let migration = fingerprint([image.as_bytes(), without_login(&database).as_bytes()]);
        Ok(Server {
            ports: ports::ports(&database, &redis, &settings, &spec.network_policy.redis_ports),
            settings,
            smtp,
            checksum: fingerprint(parts.iter().map(String::as_bytes)),
            database: database_id(&database, &namespace).unwrap_or_default(),
            migration: migration[..10].to_owned(),
            migration_inputs: migration_inputs(
                &spec,
                &image,
                &database,
                &found.salt,
                database_certificate.as_ref(),
                trusted_cas.as_deref(),
            ),
            migration_deadline: migration_deadline(&spec.migration)?,
            trusted_cas,
        })
    });
    Ok(Validated {
        generation: auth_service.metadata.generation,
        database_url: secret_key(spec.database.url_secret_ref.as_ref(), names.postgres()),
        redis_url: secret_key(spec.redis.url_secret_ref.as_ref(), names.redis()),
        postgres,
        redis,
        api_ca: found.api_ca,
        keys: found.keys,
        rotation: found.rotation,
        salt: found.salt,
        clients: found.clients,
        server,
        secrets,
        name,
        namespace,
        names,
        owner,
        spec,
        image,
        pod_template: pod_template.ok().flatten(),
        assigns_users: installation.assigns_users,
    })
}

fn embedded_redis(password: StorePassword, names: &Names, namespace: &str, images: &Images) -> Embedded {
    Embedded {
        url: password.text().map(|text| {
            SecretText::new(format!("redis://:{}@{}.{namespace}.svc:6379", text.expose(), names.redis()))
        }),
        password,
        image: images.valkey.clone(),
        storage: None,
        held_back: None,
        claim: None,
        retained: false,
    }
}

/// The password policy for the bootstrap administrator. Like the server, the operator applies `spec.passwordPolicy`
/// only if the account is still to be created: an existing one must not block the service when the policy becomes
/// stricter. If a server has run, the account is assumed to exist.
fn policy_of_bootstrap_admin(auth_service: &AuthService, external_state: &ExternalState) -> PasswordPolicy {
    let status = auth_service.status.as_ref();
    let has_run =
        external_state.deployment.is_some() || status.is_some_and(|status| status.schema_version.is_some());
    // An invalid policy is reported with the settings.
    let policy = settings::password_policy(&auth_service.spec.password_policy);
    policy.ok().filter(|_| !has_run).unwrap_or_default()
}

fn first_problem(found: &Dereferenced) -> Result<(), Problem> {
    [
        found.database_url.as_ref().and_then(|result| result.as_ref().err()),
        found.database_certificate.as_ref().and_then(|result| result.as_ref().err()),
        found.redis_url.as_ref().and_then(|result| result.as_ref().err()),
        found.redis_certificate.as_ref().and_then(|result| result.as_ref().err()),
        found.api_certificate.as_ref().and_then(|result| result.as_ref().err()),
        found.smtp.as_ref().and_then(|result| result.as_ref().err()),
        found.bootstrap_admin.as_ref().and_then(|result| result.as_ref().err()),
        found.introspection_secret.as_ref().and_then(|result| result.as_ref().err()),
        found.password_pepper.as_ref().and_then(|result| result.as_ref().err()),
        found.trusted_cas.as_ref().and_then(|result| result.as_ref().err()),
    ]
    .into_iter()
    .flatten()
    .next()
    .map_or(Ok(()), |problem| Err(problem.clone()))
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
                format!("the Secret {secret} is missing or damaged, and the existing volume requires its password: restore the Secret from a backup."),
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use latchkey_crds::AuthServiceStatus;
    use serde_json::json;

    use super::*;
    use crate::auth_service::fixtures::{auth_service, external_state};
    use crate::cluster::cache::Presence;

    #[test]
    fn a_stricter_policy_does_not_block_a_service_that_has_run() {
        let mut service = auth_service(json!({"passwordPolicy": {"minLength": 20}}));
        let mut state = external_state(Presence::Absent);
        let min_length = |service: &AuthService, state: &ExternalState| {
            policy_of_bootstrap_admin(service, state).min_length.get()
        };
        assert_eq!(min_length(&service, &state), 20);
        state.deployment = Some(k8s_openapi::api::apps::v1::Deployment::default());
        assert_eq!(min_length(&service, &state), 8);
        state.deployment = None;
        service.status = Some(AuthServiceStatus { schema_version: Some(1), ..AuthServiceStatus::default() });
        assert_eq!(min_length(&service, &state), 8);
    }
}

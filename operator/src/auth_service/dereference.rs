//! What the spec refers to, and what is already there. Reads the watches' stores; asks the API server only
//! before it says that something irreplaceable is gone.

mod claims;
mod error;
mod keys;
mod named;
mod surroundings;
mod trusted_cas;
mod values;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use latchkey_config::SecretText;
use latchkey_crds::AuthService;
use serde::de::DeserializeOwned;

use crate::cache::{Optional, controller_of};
use crate::context::Context;
use crate::credentials::{ENTROPY_BYTES, StorePassword, decide_password, password_from};
use crate::kept::Kept;
use crate::kinds::Kind;
use crate::lenient::AnyObject;
use crate::names::{Component, Names};
use crate::orphan::is_orphan_of;
use crate::shelf::purpose;
use crate::signing_keys::KeyMaterial;

use super::replicas::Answer;
use super::shared_database::Sharing;
use super::validate::Problem;

pub use error::DereferenceError;
pub use keys::Rotation;
pub use surroundings::{Surroundings, names_config_map};

/// The most pods of one component that have not ended: two rollouts of the most replicas.
const MOST_PODS: usize = 400;
/// How many of those that have ended are looked at.
const MOST_ENDED_PODS: usize = 50;

/// The login at the SMTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpLogin {
    /// User name.
    pub username: SecretText,
    /// Password.
    pub password: SecretText,
}

/// The first superuser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// User name.
    pub username: String,
    /// Mail address.
    pub email: String,
    /// Password; only its hash is used, for the pods mount the Secret itself.
    pub password: SecretText,
}

/// What a reconcile starts from. Where a reference is `None` the spec has none.
#[derive(Debug, Clone)]
pub struct Dereferenced {
    /// The URL of an external database.
    pub database_url: Option<Result<SecretText, Problem>>,
    /// The URL of an external Redis.
    pub redis_url: Option<Result<SecretText, Problem>>,
    /// The login at the SMTP server.
    pub smtp: Option<Result<SmtpLogin, Problem>>,
    /// The first superuser.
    pub admin: Option<Result<Admin, Problem>>,
    /// The secret that programs introspect tokens with.
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
    /// What is mixed into hashes of secrets that stand where others may read them; kept beside the keys.
    pub salt: SecretText,
    /// Who else uses the external database.
    pub sharing: Sharing,
    /// The image that wrote the volume of the embedded PostgreSQL, if it has one.
    pub postgres_image: Option<String>,
    /// Whether the embedded PostgreSQL is ready.
    pub postgres_ready: bool,
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

/// The names of the Secrets that the spec refers to.
pub fn references(auth_service: &AuthService) -> impl Iterator<Item = &str> {
    let spec = &auth_service.spec;
    let smtp = spec.email.smtp.credentials_secret_ref.as_ref().filter(|_| spec.email.enabled);
    [
        spec.database.url_secret_ref.as_ref().map(|reference| reference.name.as_str()),
        spec.redis.url_secret_ref.as_ref().map(|reference| reference.name.as_str()),
        smtp.map(|reference| reference.name.as_str()),
        spec.bootstrap_admin.as_ref().map(|admin| admin.secret_ref.name.as_str()),
        spec.introspection_client.as_ref().map(|client| client.secret_ref.name.as_str()),
        surroundings::tls_secret(spec.exposure.as_ref()),
    ]
    .into_iter()
    .flatten()
    .chain(trusted_cas::secrets(auth_service))
}

/// The pods of a component, by name.
///
/// # Errors
/// When one cannot be read: it may serve, so that nothing is decided as if it were not there.
pub fn pods(
    auth_service: &AuthService,
    context: &Context,
    component: Component,
) -> Result<Vec<Pod>, DereferenceError> {
    let (namespace, name) = (auth_service.namespace().unwrap_or_default(), auth_service.name_any());
    let selector = Names::new(&name).selector(component);
    let found = context.cache.group(Kind::Pod, &namespace, &purpose(&name, component.as_str()));
    // Anybody in the namespace may give pods these labels. Pods that ended are many where a node runs out of something.
    let (ended, running): (Vec<_>, Vec<_>) = found.iter().partition(|pod| pod.has_ended());
    if running.len() > MOST_PODS {
        let problem = format!("all its pods: more than {MOST_PODS} have its labels");
        return Err(DereferenceError::Unreadable(problem.into_boxed_str()));
    }
    let counted = running.into_iter().chain(ended.into_iter().take(MOST_ENDED_PODS));
    let pods: Result<Vec<Pod>, _> = counted.map(|pod| parse(Kind::Pod, pod)).collect();
    let mut pods = pods?;
    pods.retain(|pod| selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value)));
    pods.sort_by_key(ResourceExt::name_any);
    Ok(pods)
}

/// Looks up what the spec refers to, and what is already there. `answers` are what its server pods say of
/// themselves.
///
/// # Errors
/// When the API server did not answer, or a first key set was wanted and could not be made.
pub async fn dereference(
    auth_service: &AuthService,
    answers: Vec<Answer>,
    context: &Context,
) -> Result<Dereferenced, DereferenceError> {
    let spec = &auth_service.spec;
    let namespace = auth_service.namespace().unwrap_or_default();
    let secrets = named::read(context, &namespace, references(auth_service)).await?;
    let lookup = Lookup::new(auth_service, context, secrets);
    let names = Names::new(&auth_service.name_any());
    let postgres: Option<StatefulSet> = lookup.owned(Kind::StatefulSet, &names.postgres())?;
    let postgres_password = if spec.database.url_secret_ref.is_some() {
        None
    } else {
        let bound = postgres.as_ref().is_some_and(has_volume);
        let kept = lookup.kept_credentials(spec, &names.postgres());
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
        trusted_cas: lookup.trusted_cas(auth_service).await?,
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
        surroundings: lookup.surroundings(auth_service, &names)?,
    })
}

/// An object of ours. One that is there and cannot be read must not count as missing.
fn parse<T>(kind: Kind, object: &Kept) -> Result<T, DereferenceError>
where
    T: kube::Resource + DeserializeOwned,
{
    object.parse().ok_or_else(|| {
        let name = object.object().name_any();
        let problem = object.problem().unwrap_or("an unknown field");
        DereferenceError::Unreadable(format!("{problem} of the {kind} {name}").into_boxed_str())
    })
}

fn has_volume(postgres: &StatefulSet) -> bool {
    let templates = postgres.spec.volume_claim_templates.as_ref();
    templates.is_some_and(|templates| !templates.is_empty())
}

fn image_of(postgres: &StatefulSet) -> Option<String> {
    postgres.spec.template.spec.as_ref()?.containers.first()?.image.clone()
}

pub(super) struct Lookup<'a> {
    pub(super) context: &'a Context,
    pub(super) namespace: String,
    pub(super) uid: String,
    /// The Secrets that the spec names.
    named: HashMap<String, Option<Arc<DynamicObject>>>,
}

impl<'a> Lookup<'a> {
    fn new(
        auth_service: &AuthService,
        context: &'a Context,
        named: HashMap<String, Option<Arc<DynamicObject>>>,
    ) -> Self {
        Self {
            context,
            named,
            namespace: auth_service.namespace().unwrap_or_default(),
            uid: auth_service.uid().unwrap_or_default(),
        }
    }

    pub(super) fn is_ours(&self, object: &DynamicObject) -> bool {
        controller_of(object).is_some_and(|owner| owner.uid == self.uid)
    }

    fn owned<T>(&self, kind: Kind, name: &str) -> Result<Option<T>, DereferenceError>
    where
        T: kube::Resource + DeserializeOwned,
    {
        let object = self.context.cache.get(kind, &self.namespace, name);
        let object = object.filter(|object| object.is_controlled_by(&self.uid));
        object.map(|object| parse(kind, &object)).transpose()
    }

    fn jobs(&self) -> Result<Vec<Job>, DereferenceError> {
        let ours = self.context.cache.group(Kind::Job, &self.namespace, &self.uid);
        ours.iter().map(|job| parse(Kind::Job, job)).collect()
    }

    pub(super) fn secret(&self, name: &str) -> Option<Arc<DynamicObject>> {
        Some(Arc::new(self.context.cache.get(Kind::Secret, &self.namespace, name)?.object()))
    }

    /// An object's own Secret as stored. Where the watch shows none although there should be one, the API
    /// server is asked: a watch that lags must not look like a loss.
    async fn own_secret(
        &self,
        name: &str,
        expected: bool,
    ) -> Result<Option<Arc<DynamicObject>>, DereferenceError> {
        let seen = self.secret(name);
        if seen.is_some() || !expected {
            return Ok(seen);
        }
        let api: Api<AnyObject> =
            Api::namespaced_with(self.context.client.clone(), &self.namespace, &Kind::Secret.api_resource());
        let found = api
            .get_opt(name)
            .await
            .map_err(|source| DereferenceError::Secret { name: name.to_owned(), source })?;
        Ok(found.map(|AnyObject(secret)| Arc::new(secret)))
    }

    async fn password(
        &self,
        names: &Names,
        name: &str,
        bound_to_volume: bool,
    ) -> Result<StorePassword, DereferenceError> {
        let entropy = entropy()?;
        let runs = self.context.cache.get(Kind::StatefulSet, &self.namespace, name).is_some_and(|store| {
            store.is_controlled_by(&self.uid) || is_orphan_of(&store.object(), names.base())
        });
        let secret = self.own_secret(name, bound_to_volume || runs).await?;
        let stored = secret
            // A Secret that was restored by hand has no owner yet; a stranger's has another one. Before there is a
            // store a Secret without an owner may be anybody's.
            .filter(|secret| {
                self.is_ours(secret)
                    || (bound_to_volume && controller_of(secret).is_none())
                    || (runs && is_orphan_of(secret, names.base()))
            })
            .and_then(|secret| text_of(data_of(&secret).remove("password")));
        Ok(decide_password(stored, bound_to_volume, || password_from(&entropy)))
    }
}

fn entropy() -> Result<[u8; ENTROPY_BYTES], DereferenceError> {
    let mut entropy = [0; ENTROPY_BYTES];
    aws_lc_rs::rand::fill(&mut entropy).map_err(|_| DereferenceError::Random)?;
    Ok(entropy)
}

fn text_of(bytes: Option<Vec<u8>>) -> Option<SecretText> {
    String::from_utf8(bytes?).ok().map(SecretText::new)
}

/// The data of a Secret; values that are not base64 are left out.
fn data_of(secret: &DynamicObject) -> BTreeMap<String, Vec<u8>> {
    let Some(data) = secret.data.get("data").and_then(serde_json::Value::as_object) else {
        return BTreeMap::new();
    };
    data.iter()
        .filter_map(|(key, value)| Some((key.clone(), BASE64_STANDARD.decode(value.as_str()?).ok()?)))
        .collect()
}

//! Looks up the objects of one AuthService: in the cache, or at the API server where a lagging cache would be unsafe.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use kube::core::{DynamicObject, ObjectMeta};
use kube::{Api, ResourceExt};
use latchkey_config::SecretText;
use latchkey_crds::AuthService;
use serde::de::DeserializeOwned;

use crate::auth_service::context::Context;
use crate::auth_service::ownership::{is_given_to, is_orphan_of};
use crate::cluster::cached_object::CachedObject;
use crate::cluster::controller_reference::controller_of;
use crate::cluster::kinds::Kind;
use crate::cluster::lenient::AnyObject;
use crate::credentials::{ENTROPY_BYTES, StorePassword, decide_password, password_from};
use crate::names::Names;

use super::error::DereferenceError;
use super::named_objects::Named;

/// Parses an object of the AuthService. An object that cannot be read must not count as missing.
pub(super) fn parse<T>(kind: Kind, object: &CachedObject) -> Result<T, DereferenceError>
where
    T: kube::Resource + DeserializeOwned,
{
    object.parse().ok_or_else(|| {
        let name = object.object().name_any();
        let problem = object.problem().unwrap_or("an unknown field");
        DereferenceError::Unreadable(format!("{problem} of the {kind} {name}").into_boxed_str())
    })
}

pub(super) struct Lookup<'a> {
    pub(super) context: &'a Context,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// The Secrets that the spec references.
    pub(super) named: HashMap<String, Option<Arc<DynamicObject>>>,
    /// The ConfigMaps that the spec references.
    pub(super) config_maps: Named,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(
        auth_service: &AuthService,
        context: &'a Context,
        secrets: Named,
        config_maps: Named,
    ) -> Self {
        let parsed = |secret: Option<Arc<CachedObject>>| Some(Arc::new(secret?.object()));
        Self {
            context,
            named: secrets.into_iter().map(|(name, secret)| (name, parsed(secret))).collect(),
            config_maps,
            namespace: auth_service.namespace().unwrap_or_default(),
            name: auth_service.name_any(),
            uid: auth_service.uid().unwrap_or_default(),
        }
    }

    pub(super) fn is_ours(&self, object: &DynamicObject) -> bool {
        controller_of(object).is_some_and(|owner| owner.uid == self.uid)
    }

    pub(super) fn owned<T>(&self, kind: Kind, name: &str) -> Result<Option<T>, DereferenceError>
    where
        T: kube::Resource + DeserializeOwned,
    {
        let object = self.context.cache.get(kind, &self.namespace, name);
        let object = object.filter(|object| object.is_controlled_by(&self.uid));
        object.map(|object| parse(kind, &object)).transpose()
    }

    /// The metadata of the claim template of a StatefulSet, which may be one that is still to be adopted.
    pub(super) fn claim_template(&self, name: &str) -> Option<ObjectMeta> {
        let stateful_set: StatefulSet =
            self.context.cache.get(Kind::StatefulSet, &self.namespace, name)?.parse()?;
        Some(stateful_set.spec.volume_claim_templates?.into_iter().next()?.metadata)
    }

    pub(super) fn jobs(&self) -> Result<Vec<Job>, DereferenceError> {
        let named = self.context.cache.group(Kind::Job, &self.namespace, &self.name);
        named.iter().filter(|job| job.is_controlled_by(&self.uid)).map(|job| parse(Kind::Job, job)).collect()
    }

    pub(super) fn secret(&self, name: &str) -> Option<Arc<DynamicObject>> {
        Some(Arc::new(self.context.cache.get(Kind::Secret, &self.namespace, name)?.object()))
    }

    /// A Secret of the AuthService itself. If it should exist but is not in the cache, the API server is asked: a
    /// lagging watch must not look like a lost Secret.
    pub(super) async fn own_secret(
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

    pub(super) async fn password(
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
        let given = secret.as_ref().is_some_and(|secret| is_given_to(secret, names.base()));
        // Without a password in a Secret that was given, a generated one could not be stored.
        let bound_to_volume = bound_to_volume || given;
        let stored = secret
            // A Secret that was restored manually has no owner; one of another owner has a different one. Before a
            // store exists, a Secret without owner is not trusted.
            .filter(|secret| {
                self.is_ours(secret)
                    || (bound_to_volume && controller_of(secret).is_none())
                    || (runs && is_orphan_of(secret, names.base()))
            })
            .and_then(|secret| text_of(data_of(&secret).remove("password")));
        Ok(decide_password(stored, bound_to_volume, || password_from(&entropy)))
    }
}

pub(super) fn entropy() -> Result<[u8; ENTROPY_BYTES], DereferenceError> {
    let mut entropy = [0; ENTROPY_BYTES];
    aws_lc_rs::rand::fill(&mut entropy).map_err(|_| DereferenceError::Random)?;
    Ok(entropy)
}

pub(super) fn text_of(bytes: Option<Vec<u8>>) -> Option<SecretText> {
    String::from_utf8(bytes?).ok().map(SecretText::new)
}

/// The data of a Secret; values that are not base64 are left out.
pub(crate) fn data_of(secret: &DynamicObject) -> BTreeMap<String, Vec<u8>> {
    let Some(data) = secret.data.get("data").and_then(serde_json::Value::as_object) else {
        return BTreeMap::new();
    };
    data.iter()
        .filter_map(|(key, value)| Some((key.clone(), BASE64_STANDARD.decode(value.as_str()?).ok()?)))
        .collect()
}

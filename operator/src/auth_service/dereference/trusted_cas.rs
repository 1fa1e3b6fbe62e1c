//! Reads the certificate authorities that the spec references.

use std::collections::HashMap;

use kube::{Api, ResourceExt};
use latchkey_crds::AuthService;

use super::error::DereferenceError;
use super::lookup::{Lookup, data_of};
use crate::auth_service::context::ReadConfigMap;
use crate::auth_service::problem::Problem;
use crate::auth_service::references::trusted_ca_config_maps;
use crate::auth_service::trusted_cas::{Fault, Place, decide_all, decide_bundle};
use crate::cluster::kinds::Kind;
use crate::cluster::lenient::AnyObject;

impl Lookup<'_> {
    /// All authorities as one bundle; `None` if the spec references none.
    ///
    /// # Errors
    /// When the API server does not respond.
    pub(super) async fn trusted_cas(
        &self,
        auth_service: &AuthService,
    ) -> Result<Option<Result<String, Problem>>, DereferenceError> {
        let config_maps = self.read_config_maps(auth_service).await?;
        let named = &auth_service.spec.trusted_cas;
        if named.is_empty() {
            return Ok(None);
        }
        let bundles = named.iter().enumerate().map(|(index, ca)| {
            let field = format!("spec.trustedCAs[{index}]");
            let (kind, reference) = match (&ca.secret_ref, &ca.config_map_ref) {
                (Some(reference), _) => ("Secret", reference),
                (None, Some(reference)) => ("ConfigMap", reference),
                (None, None) => {
                    let message = format!("{field} has neither secretRef nor configMapRef: set one of them.");
                    return Err(Problem::new("InvalidSpec", message));
                }
            };
            let place = Place { kind, name: &reference.name, key: &reference.key, field: &field };
            let text = if kind == "Secret" {
                let secret = self.named.get(&reference.name).and_then(Option::as_ref);
                secret.map(|secret| data_of(secret).remove(&reference.key))
            } else {
                config_maps.get(&reference.name).map(|read| read.data.get(&reference.key).cloned())
            };
            let text = text.ok_or_else(|| place.problem(Fault::Missing))?;
            let text = text.ok_or_else(|| place.problem(Fault::KeyMissing))?;
            decide_bundle(&text).map_err(|fault| place.problem(fault))
        });
        Ok(Some(decide_all(bundles.collect())))
    }

    /// The referenced keys of the ConfigMaps. Only metadata is watched; each version is read once.
    async fn read_config_maps(
        &self,
        auth_service: &AuthService,
    ) -> Result<HashMap<String, ReadConfigMap>, DereferenceError> {
        let known = self.context.with_memory(&self.uid, |memory| std::mem::take(&mut memory.config_maps));
        let mut read = HashMap::new();
        for name in trusted_ca_config_maps(auth_service) {
            let Some(seen) = self.context.cache.config_map(&self.namespace, name) else { continue };
            let version = seen.resource_version().unwrap_or_default();
            let keys: Vec<&str> = auth_service
                .spec
                .trusted_cas
                .iter()
                .filter_map(|ca| ca.config_map_ref.as_ref())
                .filter(|reference| reference.name == name)
                .map(|reference| reference.key.as_str())
                .collect();
            let fits = |known: &&ReadConfigMap| known.version == version && known.keys == keys;
            let found = match known.get(name).filter(fits) {
                Some(known) => Some(known.clone()),
                None => self.read_config_map(name, &keys).await?,
            };
            read.extend(found.map(|found| (name.to_owned(), found)));
        }
        if !read.is_empty() {
            self.context.with_memory(&self.uid, |memory| memory.config_maps.clone_from(&read));
        }
        Ok(read)
    }

    async fn read_config_map(
        &self,
        name: &str,
        keys: &[&str],
    ) -> Result<Option<ReadConfigMap>, DereferenceError> {
        let resource = Kind::ConfigMap.api_resource();
        let api: Api<AnyObject> =
            Api::namespaced_with(self.context.client.clone(), &self.namespace, &resource);
        let found = api
            .get_opt(name)
            .await
            .map_err(|source| DereferenceError::ConfigMap { name: name.to_owned(), source })?;
        Ok(found.map(|AnyObject(config_map)| {
            let version = config_map.resource_version().unwrap_or_default();
            let text = |key: &str| Some(config_map.data.get("data")?.get(key)?.as_str()?.to_owned());
            let entries = keys.iter().filter_map(|key| Some(((*key).to_owned(), text(key)?.into_bytes())));
            let data = entries.collect();
            ReadConfigMap { version, keys: keys.iter().map(|key| (*key).to_owned()).collect(), data }
        }))
    }
}

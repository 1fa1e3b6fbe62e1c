//! Reads the certificate authorities that the spec references.

use kube::core::DynamicObject;
use latchkey_crds::AuthService;

use super::lookup::{Lookup, data_of};
use crate::auth_service::problem::Problem;
use crate::auth_service::trusted_cas::{Fault, Place, decide_all, decide_bundle};

impl Lookup<'_> {
    /// All authorities as one bundle; `None` if the spec references none.
    pub(super) fn trusted_cas(&self, auth_service: &AuthService) -> Option<Result<String, Problem>> {
        let named = &auth_service.spec.trusted_cas;
        if named.is_empty() {
            return None;
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
                let config_map = self.config_maps.get(&reference.name).and_then(Option::as_ref);
                config_map.map(|config_map| text_of(&config_map.object(), &reference.key))
            };
            let text = text.ok_or_else(|| place.problem(Fault::Missing))?;
            let text = text.ok_or_else(|| place.problem(Fault::KeyMissing))?;
            decide_bundle(&text).map_err(|fault| place.problem(fault))
        });
        Some(decide_all(bundles.collect()))
    }
}

fn text_of(config_map: &DynamicObject, key: &str) -> Option<Vec<u8>> {
    Some(config_map.data.get("data")?.get(key)?.as_str()?.as_bytes().to_vec())
}

//! Other users of a database, found by an annotation on the cached Deployments and Jobs, so that the Secrets of other
//! services need not be read.

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use latchkey_config::SecretText;
use latchkey_crds::{AuthService, AuthServiceSpec};

use super::lookup::Lookup;
use crate::auth_service::shared_database::{Claim, Sharing, database_id, decide_sharing};
use crate::auth_service::volume_retention::retains_volume;
use crate::cluster::controller_reference::controller_of;
use crate::cluster::kinds::Kind;
use crate::names::{MANAGED_BY, OPERATOR};

impl Lookup<'_> {
    /// The other users of the database of this URL.
    pub(super) fn sharing(&self, url: &SecretText, own: &AuthService) -> Sharing {
        let Some(database) = database_id(url, &self.namespace) else { return Sharing::Exclusive };
        let mut claims: Vec<Claim> = Vec::new();
        // Deployments first, because they carry more information.
        for kind in [Kind::Deployment, Kind::Job] {
            for (namespace, object) in self.context.cache.users_of_database(kind, &database) {
                let Some(owner) = object.controller() else { continue };
                if claims.iter().any(|claim| *claim.uid == *owner.uid) {
                    continue;
                }
                let reference = ObjectRef::new(&owner.name).within(&namespace);
                // An AuthService that no longer exists has no claim; its objects are garbage-collected.
                let Some(other) = self.context.auth_services.get(&reference) else { continue };
                if other.uid().as_deref() == Some(&owner.uid) {
                    claims.push(claim(other.salvaged(), &namespace, kind == Kind::Deployment));
                }
            }
        }
        let deployed = claims.iter().any(|claim| claim.uid == self.uid && claim.deployed);
        claims.retain(|claim| claim.uid != self.uid);
        decide_sharing(&claim(own, &self.namespace, deployed), &claims)
    }

    /// Whether a deleted AuthService of this name left the credentials of a retained volume.
    pub(super) fn retained_credentials(&self, spec: &AuthServiceSpec, name: &str) -> bool {
        retains_volume(spec)
            && self.secret(name).is_some_and(|secret| {
                controller_of(&secret).is_none()
                    && secret.labels().get(MANAGED_BY).is_some_and(|by| by == OPERATOR)
            })
    }
}

fn claim(auth_service: &AuthService, namespace: &str, deployed: bool) -> Claim {
    Claim {
        namespace: namespace.to_owned(),
        name: auth_service.name_any(),
        created: auth_service.creation_timestamp().map(|time| time.0),
        uid: auth_service.uid().unwrap_or_default(),
        deployed,
        allows: auth_service.spec.database.allow_shared,
    }
}

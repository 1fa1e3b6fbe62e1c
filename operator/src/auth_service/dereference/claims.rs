//! Other users of a database: those whose Deployment or migration Job has its annotation, those whose Secret names it,
//! and those that began in this process.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use latchkey_config::SecretText;
use latchkey_crds::{AuthService, AuthServiceSpec};

use super::error::DereferenceError;
use super::lookup::{Lookup, data_of, text_of};
use super::named_objects::read_secrets;
use crate::auth_service::ownership::was_retained_for;
use crate::auth_service::retention::retains_volume;
use crate::auth_service::shared_database::{Claim, Sharing, Standing, database_id, decide_sharing};
use crate::cluster::cached_object::CachedObject;
use crate::cluster::kinds::Kind;

/// How long an AuthService that was created recently has to begin its migration. After a start of the operator, those
/// that were created before it have the same time.
const BEGINS_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// How long a Job without a ready pod keeps others from the database.
const RUNS_WITHIN: SignedDuration = SignedDuration::from_secs(20);
/// How long a first migration that runs and has not failed keeps others from the database.
const SUCCEEDS_WITHIN: SignedDuration = SignedDuration::from_mins(5);

impl Lookup<'_> {
    /// The other users of the database of this URL.
    ///
    /// # Errors
    /// When the Secret of another AuthService could not be read.
    pub(super) async fn sharing(
        &self,
        url: &SecretText,
        own: &AuthService,
    ) -> Result<Sharing, DereferenceError> {
        let Some(database) = database_id(url, &self.namespace) else { return Ok(Sharing::Exclusive) };
        let now = Timestamp::now();
        let mut claims = self.proven_claims(&database, now);
        let own_standing = claims.iter().find(|claim| claim.uid == self.uid).map(|claim| claim.standing);
        claims.retain(|claim| claim.uid != self.uid);
        let own_standing = own_standing.unwrap_or(Standing::Waiting);
        // One that has migrated this database is only affected by others that have, too.
        let begins = own_standing > Standing::Migrated && !own.spec.paused;
        if begins {
            self.add_waiting_claims(&database, now, &mut claims).await?;
        }
        let mut begun = self.context.begun_migrations();
        for claim in &mut claims {
            if claim.standing == Standing::Waiting {
                claim.standing = match () {
                    () if begun.has_begun(&claim.uid, &database) => Standing::Begun,
                    () if begun.is_held_back(&claim.uid, &database) => Standing::Unproven,
                    () => Standing::Waiting,
                };
            }
        }
        let own_standing = match own_standing {
            Standing::Waiting if begun.has_begun(&self.uid, &database) => Standing::Begun,
            other => other,
        };
        let sharing = decide_sharing(&claim(own, &self.namespace, own_standing), &claims);
        match sharing {
            // Under the same lock as the decision: of two concurrent reconciles, the later one observes the earlier.
            _ if !begins => {}
            Sharing::Refused { .. } => begun.remove(&self.uid),
            _ => begun.begin(&self.uid, &database),
        }
        Ok(sharing)
    }

    /// The AuthServices whose Deployment or Job uses the database.
    fn proven_claims(&self, database: &str, now: Timestamp) -> Vec<Claim> {
        let mut claims: Vec<Claim> = Vec::new();
        for kind in [Kind::Deployment, Kind::Job] {
            for (namespace, object) in self.context.cache.users_of_database(kind, database) {
                let Some(owner) = object.controller() else { continue };
                let standing = match kind {
                    Kind::Deployment => Standing::Serving,
                    _ => standing_of_job(&object, now),
                };
                if let Some(known) = claims.iter_mut().find(|claim| *claim.uid == *owner.uid) {
                    known.standing = known.standing.min(standing);
                    continue;
                }
                let reference = ObjectRef::new(&owner.name).within(&namespace);
                // An AuthService that no longer exists has no claim; its objects are garbage-collected.
                let Some(other) = self.context.auth_services.get(&reference) else { continue };
                if other.uid().as_deref() == Some(&owner.uid) {
                    claims.push(claim(other.salvaged(), &namespace, standing));
                }
            }
        }
        claims
    }

    /// Adds the AuthServices without such objects whose Secret names the database and that are about to begin.
    async fn add_waiting_claims(
        &self,
        database: &str,
        now: Timestamp,
        claims: &mut Vec<Claim>,
    ) -> Result<(), DereferenceError> {
        for other in self.context.auth_services.state() {
            let other = other.salvaged();
            let uid = other.uid().unwrap_or_default();
            if uid == self.uid || claims.iter().any(|claim| claim.uid == uid) || other.spec.paused {
                continue;
            }
            let Some(reference) = &other.spec.database.url_secret_ref else { continue };
            let created = other.creation_timestamp().map_or(now, |time| time.0);
            if now.duration_since(created.max(self.context.started)) >= BEGINS_WITHIN {
                continue;
            }
            let namespace = other.namespace().unwrap_or_default();
            let secret_name = std::iter::once(reference.name.as_str());
            let secret =
                read_secrets(self.context, &namespace, secret_name).await?.remove(&reference.name).flatten();
            let url = secret.and_then(|secret| text_of(data_of(&secret.object()).remove(&reference.key)));
            let named =
                url.and_then(|url| database_id(&SecretText::new(url.expose().trim_end()), &namespace));
            if named.as_deref() == Some(database) {
                claims.push(claim(other, &namespace, Standing::Waiting));
            }
        }
        Ok(())
    }

    /// Whether a deleted AuthService of this name left the credentials of a retained volume.
    pub(super) fn retained_credentials(&self, spec: &AuthServiceSpec, name: &str) -> bool {
        retains_volume(spec) && self.secret(name).is_some_and(|secret| was_retained_for(&secret, &self.name))
    }
}

fn standing_of_job(object: &CachedObject, now: Timestamp) -> Standing {
    let Some(job) = object.parse::<Job>() else { return Standing::Unproven };
    let status = job.status.unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let holds = |type_: &str| conditions.iter().any(|found| found.type_ == type_ && found.status == "True");
    if holds("Complete") {
        return Standing::Migrated;
    }
    let age = job.metadata.creation_timestamp.map_or(SignedDuration::ZERO, |time| now.duration_since(time.0));
    let runs = status.ready.unwrap_or(0) > 0;
    let in_time = age < if runs { SUCCEEDS_WITHIN } else { RUNS_WITHIN };
    if in_time && status.failed.unwrap_or(0) == 0 && !holds("Failed") {
        Standing::Begun
    } else {
        Standing::Unproven
    }
}

fn claim(auth_service: &AuthService, namespace: &str, standing: Standing) -> Claim {
    Claim {
        namespace: namespace.to_owned(),
        name: auth_service.name_any(),
        created: auth_service.creation_timestamp().map(|time| time.0),
        uid: auth_service.uid().unwrap_or_default(),
        standing,
        allows: auth_service.spec.database.allow_shared,
    }
}

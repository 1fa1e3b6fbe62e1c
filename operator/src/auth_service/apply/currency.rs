//! Verifies that the spec on which a reconcile is based is the present one.
//!
//! A restarted operator may be served an older list by an API server that lags behind, and a watch may be delayed. An
//! operator that acts on the older spec would delete objects that the present spec needs, and roll back pods.

use kube::api::ListParams;
use kube::{Api, ResourceExt};
use latchkey_crds::AuthService;

use super::work::Work;
use crate::cluster::kinds::Kind;

impl Work<'_> {
    /// Whether the spec is the present one, as far as this process must know it before a write. The API server is asked
    /// once for each generation of a spec that this process did not verify by a write of the status.
    pub(super) async fn may_write(&mut self) -> Result<bool, kube::Error> {
        let verified = self.context.with_memory(&self.service.owner.uid, |memory| memory.verified_generation);
        if verified.is_some() && verified == self.service.generation {
            return Ok(true);
        }
        self.is_current().await
    }

    /// The same before an object is created. Once this process has applied the Deployment, the last object of a new
    /// AuthService, an object that is missing has vanished: perhaps because the AuthService was deleted, which a delayed watch does not show yet. Its objects would be created
    /// again for the garbage collector, with other passwords, in the way of a new AuthService of the same name.
    pub(super) async fn may_create(&mut self) -> Result<bool, kube::Error> {
        let is_complete = self.context.with_memory(&self.service.owner.uid, |memory| {
            memory.applied.iter().any(|known| known.kind == Kind::Deployment)
        });
        if is_complete { self.is_current().await } else { self.may_write().await }
    }

    /// Asks the API server, once in each reconcile, whether the spec is the present one. Always before a deletion: it cannot
    /// be undone.
    pub(super) async fn is_current(&mut self) -> Result<bool, kube::Error> {
        if self.confirmed {
            return Ok(true);
        }
        let api: Api<AuthService> = Api::namespaced(self.context.client.clone(), &self.service.namespace);
        // A list without a resource version is the most recent one. The operator has no right to get AuthServices.
        let this = ListParams::default().fields(&format!("metadata.name={}", self.service.name));
        let live = api.list_metadata(&this).await?;
        self.confirmed = live.iter().any(|live| {
            live.uid().as_deref() == Some(&*self.service.owner.uid)
                && live.metadata.generation == self.service.generation
                && live.metadata.deletion_timestamp.is_none()
        });
        if self.confirmed {
            let generation = self.service.generation;
            self.context
                .with_memory(&self.service.owner.uid, |memory| memory.verified_generation = generation);
        } else {
            self.outdated = true;
        }
        Ok(self.confirmed)
    }
}

//! The result of applying the desired objects.

use k8s_openapi::api::apps::v1::Deployment;

use crate::auth_service::problem::Problem;
use crate::auth_service::render::Schema;
use crate::cluster::kinds::Kind;

/// The result of one pass, for the status.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    /// The current Deployment, if it is owned by this AuthService.
    pub deployment: Option<Deployment>,
    /// The state of the database schema.
    pub schema: Schema,
    /// Objects whose names are used by objects of other owners.
    pub name_conflicts: Vec<(Kind, String)>,
    /// Objects that the API server refused, with its reason.
    pub refused: Vec<Problem>,
    /// Objects that another writer changed faster than they could be repaired.
    pub contested: Vec<(Kind, String)>,
    /// Whether `spec.paused` holds back a write.
    pub pending: bool,
    /// Whether the client registry in the cluster is the rendered one.
    pub has_registry: bool,
    /// The maximum number of concurrent rollouts, if the AuthService waits for its turn.
    pub queued: Option<usize>,
}

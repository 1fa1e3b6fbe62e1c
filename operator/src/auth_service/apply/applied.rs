//! The result of applying the desired objects.

use k8s_openapi::api::apps::v1::Deployment;

use crate::auth_service::problem::Problem;
use crate::auth_service::render::Schema;
use crate::cluster::kinds::Kind;

/// What came of it, for the status.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The Deployment as it is now, if there is one of ours.
    pub deployment: Option<Deployment>,
    /// Where the schema stands.
    pub schema: Schema,
    /// Objects whose names somebody else has.
    pub name_conflicts: Vec<(Kind, String)>,
    /// Objects that the API server refused, with its reason.
    pub refused: Vec<Problem>,
    /// Objects that another writer changed faster than they could be repaired.
    pub contested: Vec<(Kind, String)>,
    /// Whether something is to be written that is held back by a pause.
    pub pending: bool,
}

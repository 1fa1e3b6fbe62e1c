//! Workload identity.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Whether pods authenticate with the projected token of their ServiceAccount, as AuthClients of the type workload. The
/// server asks the API server about each token (TokenReview): a cluster administrator has to permit this to its
/// ServiceAccount, which the condition WorkloadIdentityReady reports.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkloadIdentity {
    /// Enables workload identity.
    #[serde(default)]
    pub enabled: bool,
}

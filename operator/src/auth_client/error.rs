//! Errors of reconciling an AuthClient.

use tokio::task::JoinError;

use super::apply::ApplyError;
use super::dereference::DereferenceError;
use super::status::StatusError;

/// Why a reconcile failed. Problems of the spec or the cluster become conditions instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    #[error(transparent)]
    Dereference(#[from] DereferenceError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Status(#[from] StatusError),
    #[error("the Secret cannot be rendered: {0}")]
    Render(#[from] serde_json::Error),
    /// The system returned no random bytes.
    #[error("the system returned no random bytes")]
    Random,
    /// It panicked, which is a bug, or the operator is stopping.
    #[error("the reconcile was aborted: {0}")]
    Ended(#[from] JoinError),
}

impl ReconcileError {
    /// Whether the cache lags behind; the reconcile is repeated soon.
    pub(super) fn is_outdated(&self) -> bool {
        matches!(self, Self::Apply(ApplyError::Outdated { .. }) | Self::Status(StatusError::Outdated))
    }
}

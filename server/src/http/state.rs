//! What handlers share.

use std::sync::Arc;

use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::service::Service;

/// Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// The use cases.
    pub service: Arc<Service>,
    /// What is waited for.
    pub readiness: Arc<Readiness>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

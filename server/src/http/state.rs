//! The state that handlers share.

use std::sync::Arc;

use ipnet::IpNet;

use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::service::Service;

/// Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// The use cases.
    pub service: Arc<Service>,
    pub readiness: Arc<Readiness>,
    /// The networks of proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Arc<[IpNet]>,
    pub metrics: Arc<Metrics>,
}

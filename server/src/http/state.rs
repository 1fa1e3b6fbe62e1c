//! The state that handlers share.

use std::ops::Deref;
use std::sync::Arc;

use axum::http::HeaderValue;
use ipnet::IpNet;

use super::cookie::Cookies;
use super::problem::Problem;
use crate::crypto::OneTimeSecret;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::service::{Service, ServiceError};

/// Cheap to clone.
#[derive(Clone)]
pub struct ApiState(pub Arc<SharedState>);

impl Deref for ApiState {
    type Target = SharedState;

    fn deref(&self) -> &SharedState {
        &self.0
    }
}

pub struct SharedState {
    /// The use cases.
    pub service: Arc<Service>,
    pub readiness: Arc<Readiness>,
    /// The networks of proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Arc<[IpNet]>,
    pub metrics: Arc<Metrics>,
}

impl ApiState {
    /// The cookies of this server.
    pub fn cookies(&self) -> Cookies<'_> {
        Cookies::new(self.service.issuer())
    }

    /// The header by which the client's device is recognized at its next login.
    pub fn remember_device(&self, device: &OneTimeSecret) -> Result<HeaderValue, Problem> {
        let cookie = self.cookies().remember_device(device);
        Ok(cookie.map_err(|error| ServiceError::Internal(format!("a cookie: {error}")))?)
    }

    /// The header that clears the refresh token.
    pub fn clear_cookie(&self) -> Result<HeaderValue, Problem> {
        let cookie = self.cookies().clear();
        Ok(cookie.map_err(|error| ServiceError::Internal(format!("a cookie: {error}")))?)
    }
}

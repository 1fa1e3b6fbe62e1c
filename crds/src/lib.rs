//! The Kubernetes API of Latchkey: the types, and the CustomResourceDefinition generated from them.
//!
//! The `crdgen` binary generates `auth_service.yaml`, which is committed. A test fails if it is stale.

pub mod auth_service;
mod bounds;
pub mod conditions;
mod list_keys;
pub mod pod_template;
mod yaml;

pub use auth_service::{AuthService, AuthServiceSpec, AuthServiceStatus};
pub use yaml::{CrdError, auth_service_yaml};

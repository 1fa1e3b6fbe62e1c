//! The Kubernetes API of Latchkey: the types, and the CustomResourceDefinitions generated from them.
//!
//! The `crdgen` binary generates `auth_service.yaml` and `auth_client.yaml`, which are committed. A test fails if one is
//! stale.

pub mod auth_client;
pub mod auth_service;
mod bounds;
pub mod conditions;
mod list_keys;
pub mod pod_template;
mod yaml;

pub use auth_client::{AuthClient, AuthClientSpec, AuthClientStatus};
pub use auth_service::{AuthService, AuthServiceSpec, AuthServiceStatus};
pub use yaml::{CrdError, auth_client_yaml, auth_service_yaml};

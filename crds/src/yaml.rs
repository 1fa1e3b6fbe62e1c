//! The CustomResourceDefinition as the YAML that is committed, and that `latchkey-operator crds` prints.

use kube::CustomResourceExt;

use crate::AuthService;

/// The definition could not be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("the definition of AuthService cannot be written as YAML: {0}")]
pub struct CrdError(#[from] serde_yaml_ng::Error);

const HEADER: &str = "# Generated from the Rust types in crds/src by `cargo run -p latchkey-crds --bin crdgen`; do not edit.\n";

/// The CustomResourceDefinition of [`AuthService`] as one YAML document.
///
/// # Errors
/// Only when a schema holds something that YAML cannot say.
pub fn auth_service_yaml() -> Result<String, CrdError> {
    Ok(format!("{HEADER}---\n{}", serde_yaml_ng::to_string(&AuthService::crd())?))
}

//! The login probe.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// At startup and every few minutes, each replica creates an account, logs in, verifies the token, logs out and
/// deletes the account. The condition `LoginWorks` reports the result, and `Ready` requires it.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct LoginProbe {
    /// Enables the login probe.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

impl Default for LoginProbe {
    fn default() -> Self {
        Self { enabled: yes() }
    }
}

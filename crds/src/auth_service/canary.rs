//! Whether the service tries itself out.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Every few minutes, and when it starts, each replica makes an account, logs in, verifies the token, logs out, and
/// deletes the account. `LoginWorks` says what came of it, and `Ready` needs it.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// Whether it does.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

impl Default for Canary {
    fn default() -> Self {
        Self { enabled: yes() }
    }
}

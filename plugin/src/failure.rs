//! Why a command failed, with its exit status.

use kube::core::Status;

use crate::lists::Unreadable;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command was refused, or failed.
    #[error("{0}")]
    Failed(String),
    /// No API server answers, or the kubeconfig names none.
    #[error("{0}")]
    NoCluster(String),
    /// The cluster does not serve AuthServices.
    #[error(
        "the cluster has no kind AuthService: install the chart of Latchkey first (helm install latchkey …)"
    )]
    NoDefinition,
    /// The named object does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The condition did not occur in time.
    #[error("{0}")]
    TimedOut(String),
}

impl From<Unreadable> for Failure {
    fn from(object: Unreadable) -> Self {
        Self::Failed(object.to_string())
    }
}

impl Failure {
    /// The exit status of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::NoCluster(_) | Self::NoDefinition => 3,
            Self::NotFound(_) => 4,
            Self::TimedOut(_) => 5,
        }
    }

    /// The failure of a request; `action` completes "cannot …".
    pub fn of_request(action: &str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(action, status),
            error => {
                Self::NoCluster(format!("cannot {action}: the API server does not answer: {}", chain(error)))
            }
        }
    }

    fn of_status(action: &str, status: &Status) -> Self {
        let message = format!("cannot {action}: {}", status.message.trim());
        match status.code {
            404 if status.reason != "NotFound" => Self::NoDefinition,
            404 => Self::NotFound(message),
            401 => Self::NoCluster(format!("{message}: log in to the cluster again")),
            _ => Self::Failed(message),
        }
    }
}

/// An error with its causes, without repetitions.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

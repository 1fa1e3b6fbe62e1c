//! Failures of a delivery.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The SMTP server is down or busy, or refuses the connection for now.
    Smtp,
    /// The address is malformed, or the SMTP server refuses it permanently: a retry cannot help.
    Recipient,
    /// A template uses a variable that the message does not have, or exceeds the limit of instructions.
    Template,
    /// The database does not respond.
    Database,
    /// A bug.
    Internal,
}

impl FailureClass {
    /// The name in audit events and in log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Recipient => "recipient",
            Self::Template => "template",
            Self::Database => "database",
            Self::Internal => "internal",
        }
    }
}

/// A failed attempt. `Display` contains neither credentials nor the address.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    pub class: FailureClass,
    /// A sentence for the log and the status.
    pub reason: String,
}

impl Failure {
    pub fn new(class: FailureClass, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into() }
    }
}

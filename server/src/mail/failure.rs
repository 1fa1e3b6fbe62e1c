//! Why a delivery failed.

/// The class of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The SMTP server is down or busy, or refuses the connection for now.
    Smtp,
    /// The address is malformed, or the SMTP server refuses it permanently: a retry cannot help.
    Recipient,
    /// A template uses a variable that the message does not have, or never ends.
    Template,
    /// The database does not answer.
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

/// A failed attempt. `Display` holds neither credentials nor the address.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// The class.
    pub class: FailureClass,
    /// One sentence.
    pub reason: String,
}

impl Failure {
    /// A failure of this class.
    pub fn new(class: FailureClass, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into() }
    }
}

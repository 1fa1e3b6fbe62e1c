//! Why a message did not leave.

/// What stood in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The SMTP server is down, busy, or refuses us just now.
    Smtp,
    /// The address is malformed, or the SMTP server refuses it for good: trying again cannot help.
    Recipient,
    /// A template uses what the message does not have, or never ends.
    Template,
    /// The database does not answer.
    Database,
    /// A fault of ours.
    Internal,
}

impl FailureClass {
    /// The name in the audit and in log lines.
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
    /// What stood in the way.
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

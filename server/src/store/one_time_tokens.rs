//! What one-time tokens are for. They are made in `mailed_tokens`; what they are used for is in `links`.

/// What a one-time token is good for; never for anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenPurpose {
    /// Choosing a new password.
    PasswordReset,
    /// Showing that the account's address is read.
    EmailVerification,
    /// Making the address it was mailed to the account's.
    EmailChange,
    /// Choosing a first password.
    Invitation,
}

impl TokenPurpose {
    /// Every purpose.
    pub const ALL: [Self; 4] =
        [Self::PasswordReset, Self::EmailVerification, Self::EmailChange, Self::Invitation];

    /// The name in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PasswordReset => "password_reset",
            Self::EmailVerification => "email_verification",
            Self::EmailChange => "email_change",
            Self::Invitation => "invitation",
        }
    }
}

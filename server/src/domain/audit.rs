//! What the audit knows: who did what to whom, from where, and what came of it.

use serde_json::Value;
use uuid::Uuid;

use super::Origin;

/// What happened. The names are a contract with whoever reads the audit: new ones may come, none changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditKind {
    Login,
    Logout,
    LogoutAll,
    SessionEnded,
    RefreshTokenReused,
    Registered,
    EmailVerificationRequested,
    EmailVerified,
    EmailChangeRequested,
    EmailChanged,
    PasswordChanged,
    PasswordReset,
    PasswordResetRequested,
    ProfileChanged,
    AccountDeleted,
    FirstSuperuserCreated,
    SuperuserCreated,
    UserCreated,
    UserInvited,
    UserImported,
    UserChanged,
    UserDeleted,
    UserSessionsEnded,
    TokenIntrospected,
    TokenRevoked,
    AccessDenied,
    ClientRefused,
    RateLimited,
    MailGivenUp,
}

impl AuditKind {
    /// Every kind.
    pub const ALL: [Self; 29] = [
        Self::Login,
        Self::Logout,
        Self::LogoutAll,
        Self::SessionEnded,
        Self::RefreshTokenReused,
        Self::Registered,
        Self::EmailVerificationRequested,
        Self::EmailVerified,
        Self::EmailChangeRequested,
        Self::EmailChanged,
        Self::PasswordChanged,
        Self::PasswordReset,
        Self::PasswordResetRequested,
        Self::ProfileChanged,
        Self::AccountDeleted,
        Self::FirstSuperuserCreated,
        Self::SuperuserCreated,
        Self::UserCreated,
        Self::UserInvited,
        Self::UserImported,
        Self::UserChanged,
        Self::UserDeleted,
        Self::UserSessionsEnded,
        Self::TokenIntrospected,
        Self::TokenRevoked,
        Self::AccessDenied,
        Self::ClientRefused,
        Self::RateLimited,
        Self::MailGivenUp,
    ];

    /// The name in the table, in the log, in metrics and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Logout => "logout",
            Self::LogoutAll => "logout_all",
            Self::SessionEnded => "session_ended",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::Registered => "registered",
            Self::EmailVerificationRequested => "email_verification_requested",
            Self::EmailVerified => "email_verified",
            Self::EmailChangeRequested => "email_change_requested",
            Self::EmailChanged => "email_changed",
            Self::PasswordChanged => "password_changed",
            Self::PasswordReset => "password_reset",
            Self::PasswordResetRequested => "password_reset_requested",
            Self::ProfileChanged => "profile_changed",
            Self::AccountDeleted => "account_deleted",
            Self::FirstSuperuserCreated => "first_superuser_created",
            Self::SuperuserCreated => "superuser_created",
            Self::UserCreated => "user_created",
            Self::UserInvited => "user_invited",
            Self::UserImported => "user_imported",
            Self::UserChanged => "user_changed",
            Self::UserDeleted => "user_deleted",
            Self::UserSessionsEnded => "user_sessions_ended",
            Self::TokenIntrospected => "token_introspected",
            Self::TokenRevoked => "token_revoked",
            Self::AccessDenied => "access_denied",
            Self::ClientRefused => "client_refused",
            Self::RateLimited => "rate_limited",
            Self::MailGivenUp => "mail_given_up",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused: a wrong password, a right that is missing, a limit.
    Refused,
}

impl Outcome {
    /// The name in the table, in the log, in metrics and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
        }
    }
}

/// One entry. It never holds a secret or a token.
#[derive(Debug, Clone)]
pub struct AuditEvent<'a> {
    /// What happened.
    pub kind: AuditKind,
    /// What came of it.
    pub outcome: Outcome,
    /// Who did it; `None` when nobody was authenticated, or it was the service itself.
    pub actor_id: Option<i64>,
    /// To whom.
    pub user_id: Option<i64>,
    /// In or to which session.
    pub session_id: Option<Uuid>,
    /// From where; `None` for what the service does by itself.
    pub origin: Option<&'a Origin>,
    /// What else is worth knowing, as an object.
    pub detail: Value,
}

impl<'a> AuditEvent<'a> {
    /// Something that succeeded, by somebody to their own account.
    pub fn own(kind: AuditKind, user_id: i64, origin: &'a Origin) -> Self {
        Self {
            kind,
            outcome: Outcome::Success,
            actor_id: Some(user_id),
            user_id: Some(user_id),
            session_id: None,
            origin: Some(origin),
            detail: Value::Object(serde_json::Map::new()),
        }
    }

    /// The same, done by an administrator.
    #[must_use]
    pub fn by(mut self, actor_id: i64) -> Self {
        self.actor_id = Some(actor_id);
        self
    }

    /// The same, of this session.
    #[must_use]
    pub fn in_session(mut self, session_id: Uuid) -> Self {
        self.session_id = Some(session_id);
        self
    }

    /// The same, with more to know.
    #[must_use]
    pub fn with(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }

    /// The same, refused.
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.outcome = Outcome::Refused;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_kinds_share_a_name() {
        let names: HashSet<_> = AuditKind::ALL.into_iter().map(AuditKind::as_str).collect();
        assert_eq!(names.len(), AuditKind::ALL.len());
    }
}

//! Audit events: the actor, the action, the affected account, the origin and the outcome.

use serde_json::Value;
use uuid::Uuid;

use super::Origin;

/// The kind of an audit event. The names are part of the public API: releases may add names, but do not change them.
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
    GroupCreated,
    GroupChanged,
    GroupDeleted,
    GroupMemberAdded,
    GroupMemberRemoved,
    TokenIntrospected,
    TokenRevoked,
    AccessDenied,
    ClientRefused,
    ClientTokenIssued,
    TokenExchanged,
    RateLimited,
    MailGivenUp,
    RegistrationExpired,
}

impl AuditKind {
    /// Every kind.
    pub const ALL: [Self; 37] = [
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
        Self::GroupCreated,
        Self::GroupChanged,
        Self::GroupDeleted,
        Self::GroupMemberAdded,
        Self::GroupMemberRemoved,
        Self::TokenIntrospected,
        Self::TokenRevoked,
        Self::AccessDenied,
        Self::ClientRefused,
        Self::ClientTokenIssued,
        Self::TokenExchanged,
        Self::RateLimited,
        Self::MailGivenUp,
        Self::RegistrationExpired,
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
            Self::GroupCreated => "group_created",
            Self::GroupChanged => "group_changed",
            Self::GroupDeleted => "group_deleted",
            Self::GroupMemberAdded => "group_member_added",
            Self::GroupMemberRemoved => "group_member_removed",
            Self::TokenIntrospected => "token_introspected",
            Self::TokenRevoked => "token_revoked",
            Self::AccessDenied => "access_denied",
            Self::ClientRefused => "client_refused",
            Self::ClientTokenIssued => "client_token_issued",
            Self::TokenExchanged => "token_exchanged",
            Self::RateLimited => "rate_limited",
            Self::MailGivenUp => "mail_given_up",
            Self::RegistrationExpired => "registration_expired",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// For example because of a wrong password, a missing permission or a rate limit.
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

/// An entry of the audit log. It never contains a secret or a token.
#[derive(Debug, Clone)]
pub struct AuditEvent<'a> {
    pub kind: AuditKind,
    pub outcome: Outcome,
    /// The account that performed the action; `None` if the client was not authenticated or the service itself acted.
    pub actor_id: Option<i64>,
    /// The affected account.
    pub user_id: Option<i64>,
    /// The session of the action, or the affected session.
    pub session_id: Option<Uuid>,
    /// `None` for actions of the service itself.
    pub origin: Option<&'a Origin>,
    /// An object with further facts.
    pub detail: Value,
}

impl<'a> AuditEvent<'a> {
    /// Creates an event of a user who successfully acted on their own account.
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

    /// Sets the actor, for example an administrator.
    #[must_use]
    pub fn by(mut self, actor_id: i64) -> Self {
        self.actor_id = Some(actor_id);
        self
    }

    /// Sets a client as the actor, which is no account.
    #[must_use]
    pub fn by_client(mut self, client_id: &str) -> Self {
        self.actor_id = None;
        self.with(serde_json::json!({ "client_id": client_id }))
    }

    /// Sets the session.
    #[must_use]
    pub fn in_session(mut self, session_id: Uuid) -> Self {
        self.session_id = Some(session_id);
        self
    }

    /// Adds members to the detail.
    #[must_use]
    pub fn with(mut self, detail: Value) -> Self {
        match (&mut self.detail, detail) {
            (Value::Object(members), Value::Object(more)) => members.extend(more),
            (own, detail) => *own = detail,
        }
        self
    }

    /// Sets the outcome to [`Outcome::Refused`].
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.outcome = Outcome::Refused;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use latchkey_tests::documentation::{names, read, section};

    use super::*;

    #[test]
    fn names_are_unique() {
        let names: HashSet<_> = AuditKind::ALL.into_iter().map(AuditKind::as_str).collect();
        assert_eq!(names.len(), AuditKind::ALL.len());
    }

    #[test]
    fn the_documentation_lists_every_kind() {
        let page = read("docs/explanation/security.md");
        let kinds: BTreeSet<_> = AuditKind::ALL.into_iter().map(|kind| kind.as_str().to_owned()).collect();
        assert_eq!(names(section(&page, "## Audit log")), kinds);
    }
}

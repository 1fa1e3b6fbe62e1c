//! Limits: what an attempt draws from, and what is said when it must wait (OWASP ASVS 5.0 §6.3.1, NIST SP 800-63B-4
//! §3.2.2). docs/decisions/0005-rate-limits.md

use serde_json::json;

use super::{Service, ServiceError};
use crate::crypto::OneTimeSecret;
use crate::domain::rate_limit::Rate;
use crate::domain::{AuditEvent, AuditKind, LoginName, Origin, Outcome};
use crate::limits::{Attempt, Bucket, Limited};
use crate::store::{KnownDevice, StoreError};

/// An account has a name and an address, and each has a bucket: together they have the account's allowance. One
/// bucket for both would tell that they belong together, so that there is such an account.
const NAMES_OF_AN_ACCOUNT: u32 = 2;
/// Letters that an hour of requests may send to one address.
const MAILS_PER_ADDRESS: u32 = 5;
/// The part of a network's allowance for what makes us send letters to people who did not ask.
const MAIL_PART: u32 = 5;

/// What is limited. Each counts for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitedAction {
    /// Presenting a password, at `/login` and at `/token`.
    Login,
    /// Asking for a reset by mail.
    Recovery,
    /// Making an account.
    Registration,
    /// Asking for the verification mail again.
    VerifyResend,
    /// Asking for another address of the own account.
    EmailChange,
    /// Presenting the token of a mailed link.
    Reset,
    /// Presenting the own password again before a change.
    Confirmation,
    /// Presenting a client secret, at `/introspect` and at `/revoke`. By the network alone: the client's id is known
    /// to its attackers too.
    Client,
}

impl LimitedAction {
    /// The name in metrics and in the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Recovery => "recovery",
            Self::Registration => "registration",
            Self::VerifyResend => "verify_resend",
            Self::EmailChange => "email_change",
            Self::Reset => "reset",
            Self::Confirmation => "confirmation",
            Self::Client => "client",
        }
    }

    fn sends_mail(self) -> bool {
        matches!(self, Self::Recovery | Self::Registration | Self::VerifyResend | Self::EmailChange)
    }
}

/// What a browser keeps since it logged in: 256 random bits in base64url, which authenticate nobody.
#[derive(Clone, Copy)]
pub struct DeviceCookie<'a>(&'a str);

impl<'a> DeviceCookie<'a> {
    /// `None` when it cannot be one of ours.
    pub fn parse(text: &'a str) -> Option<Self> {
        let ours = text.len() == OneTimeSecret::CHARS
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        ours.then_some(Self(text))
    }
}

impl Service {
    /// The device behind a cookie, whosever it is. Asked whether or not there is an account, so that the time does
    /// not tell.
    pub(super) async fn find_device(
        &self,
        cookie: Option<DeviceCookie<'_>>,
    ) -> Result<Option<KnownDevice>, StoreError> {
        match cookie {
            Some(DeviceCookie(token)) => self.store.find_device(&OneTimeSecret::hash_of(token)).await,
            None => Ok(None),
        }
    }

    /// Counts an attempt on what `name` stands for: a login name, an address, the token of a link. Call it before
    /// anything that costs or tells; give the attempt back when it was no guess. A device that the account knows has
    /// an allowance of its own, whatever others do to the account or from the same network.
    ///
    /// # Errors
    /// [`ServiceError::RateLimited`]
    pub(super) async fn limit(
        &self,
        action: LimitedAction,
        name: &str,
        device: Option<&KnownDevice>,
        origin: &Origin,
    ) -> Result<Attempt<'_>, ServiceError> {
        let device = device.filter(|device| device.answers_to(name));
        let limited = match self.limits.begin(self.build_buckets(action, name, device, origin)).await {
            Ok(attempt) => return Ok(attempt),
            Err(limited) => limited,
        };
        self.metrics.count_rate_limited(action.as_str(), limited.scope.as_str());
        if limited.audit
            && let Err(error) = self.record_limited(action, name, limited, origin).await
        {
            // The answer is no in any case.
            tracing::warn!(%error, "a limit could not be audited");
        }
        Err(ServiceError::RateLimited(limited.wait))
    }

    fn build_buckets(
        &self,
        action: LimitedAction,
        name: &str,
        device: Option<&KnownDevice>,
        origin: &Origin,
    ) -> Vec<Bucket> {
        let limits = self.rate_limits;
        if !limits.enabled {
            return Vec::new();
        }
        let (name_rate, network_rate) = if action.sends_mail() {
            (MAILS_PER_ADDRESS.min(limits.per_account), limits.per_network / MAIL_PART)
        } else if action == LimitedAction::Login {
            (limits.per_account.div_ceil(NAMES_OF_AN_ACCOUNT), limits.per_network)
        } else {
            (limits.per_account, limits.per_network)
        };
        let word = action.as_str();
        match device {
            Some(device) => {
                let rate = if action.sends_mail() { name_rate } else { limits.per_account };
                vec![Bucket::of_device(word, &device.token_hash, Rate::per_hour(rate))]
            }
            None if action == LimitedAction::Client => {
                vec![Bucket::of_network(word, origin.network(), Rate::per_hour(network_rate))]
            }
            None => vec![
                Bucket::of_account(word, name, Rate::per_hour(name_rate)),
                Bucket::of_network(word, origin.network(), Rate::per_hour(network_rate)),
            ],
        }
    }

    async fn record_limited(
        &self,
        action: LimitedAction,
        name: &str,
        limited: Limited,
        origin: &Origin,
    ) -> Result<(), ServiceError> {
        // The name itself stays out: people type passwords into the wrong field.
        let account = match LoginName::parse(name) {
            Some(name) => self.store.find_credentials(&name).await?,
            None => None,
        };
        let event = AuditEvent {
            kind: AuditKind::RateLimited,
            outcome: Outcome::Refused,
            actor_id: None,
            user_id: account.map(|account| account.id),
            session_id: None,
            origin: Some(origin),
            detail: json!({ "endpoint": action.as_str(), "scope": limited.scope.as_str() }),
        };
        self.record(&event).await
    }
}

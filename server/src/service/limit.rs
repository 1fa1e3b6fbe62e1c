//! Rate limits: the buckets of an attempt, and the error when one is empty (OWASP ASVS 5.0 §6.3.1, NIST SP 800-63B-4
//! §3.2.2). See docs/decisions/0005-rate-limits.md.

use serde_json::json;

use super::{Service, ServiceError};
use crate::crypto::OneTimeSecret;
use crate::domain::rate_limit::Rate;
use crate::domain::{AuditEvent, AuditKind, LoginName, Origin, Outcome};
use crate::limits::{Attempt, Bucket, Limited};
use crate::store::{KnownDevice, StoreError};

/// An account has a username and an address, each with its own bucket; together they have the account's allowance. A shared
/// bucket would reveal that the two belong together, and so that the account exists.
const NAMES_OF_AN_ACCOUNT: u32 = 2;
/// E-mails per hour that requests may cause to one address.
const MAILS_PER_ADDRESS: u32 = 5;
/// The divisor of a network's allowance for actions that send e-mails to third parties.
const MAIL_PART: u32 = 5;

/// The allowance of an IPv6 /48, as a multiple of that of a /64. One subscriber may have all 65536 of its /64s, and so may
/// several subscribers together.
const NETWORKS_OF_A_SITE: u32 = 10;

/// The limited actions. Each has its own buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitedAction {
    /// Presenting a password at `/login` or `/token`.
    Login,
    /// Requesting a password reset by e-mail.
    Recovery,
    /// Registering an account.
    Registration,
    /// Requesting another verification e-mail.
    VerifyResend,
    /// Requesting a change of the current user's address.
    EmailChange,
    /// Presenting the token of a link.
    Reset,
    /// Presenting the current user's password again before a change.
    Confirmation,
    /// Presenting a client secret at `/token`, `/introspect` or `/revoke`. Limited by network alone: attackers may know the client's
    /// id.
    Client,
}

impl LimitedAction {
    /// The name in metrics and in audit events.
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

/// The device cookie: 256 random bits in base64url. It is not a credential.
#[derive(Clone, Copy)]
pub struct DeviceCookie<'a>(&'a str);

impl<'a> DeviceCookie<'a> {
    /// Returns `None` if the text does not have the form of this cookie.
    pub fn parse(text: &'a str) -> Option<Self> {
        let ours = text.len() == OneTimeSecret::CHARS
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        ours.then_some(Self(text))
    }
}

impl Service {
    /// The device of a cookie, whichever account it belongs to. Queried whether or not the account exists, so that the
    /// response time does not reveal it.
    pub(super) async fn find_device(
        &self,
        cookie: Option<DeviceCookie<'_>>,
    ) -> Result<Option<KnownDevice>, StoreError> {
        match cookie {
            Some(DeviceCookie(token)) => self.store.find_device(&OneTimeSecret::hash_of(token)).await,
            None => Ok(None),
        }
    }

    /// Counts an attempt on `name`: a login name, an address or the token of a link. Call it before any work that is
    /// expensive or reveals whether the account exists, and return the attempt if it was not a guess. A known device of the
    /// account has its own allowance, which attempts from elsewhere do not reduce.
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
        let name = &*LoginName::canonical_spelling(name);
        let device = device.filter(|device| device.answers_to(name));
        let limited = match self.limits.counters.begin(self.build_buckets(action, name, device, origin)).await
        {
            Ok(attempt) => return Ok(attempt),
            Err(limited) => limited,
        };
        self.metrics.count_rate_limited(action.as_str(), limited.scope.as_str());
        if limited.audit
            && let Err(error) = self.record_limited(action, name, limited, origin).await
        {
            // The request is refused in any case.
            tracing::warn!(%error, "a refused attempt could not be recorded in the audit log");
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
        let limits = self.limits.rates;
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
        let mut buckets = Vec::new();
        if let Some(device) = device {
            let rate = if action.sends_mail() { name_rate } else { limits.per_account };
            buckets.push(Bucket::of_device(word, &device.token_hash, Rate::per_hour(rate)));
        } else {
            if action != LimitedAction::Client {
                buckets.push(Bucket::of_account(word, name, Rate::per_hour(name_rate)));
            }
            buckets.push(Bucket::of_network(word, origin.network(), Rate::per_hour(network_rate)));
            buckets.extend(origin.site().map(|site| {
                let rate = network_rate.saturating_mul(NETWORKS_OF_A_SITE);
                Bucket::of_site(word, site, Rate::per_hour(rate))
            }));
        }
        if action == LimitedAction::Login {
            let rate = limits.logins_per_account.div_ceil(NAMES_OF_AN_ACCOUNT);
            buckets.push(Bucket::of_logins(name, Rate::per_hour(rate)));
        }
        buckets
    }

    async fn record_limited(
        &self,
        action: LimitedAction,
        name: &str,
        limited: Limited,
        origin: &Origin,
    ) -> Result<(), ServiceError> {
        // The name is not recorded: users type passwords into the wrong field.
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

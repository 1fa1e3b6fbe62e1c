//! Logging in with a username or an address and a password.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use latchkey_clients::Client;
use serde_json::json;
use uuid::Uuid;

use crate::audit_log;
use crate::crypto::{HashError, OneTimeSecret, PersonClaims};
use crate::domain::{AuditEvent, AuditKind, LoginName, Origin, Outcome, Password, PasswordHash};
use crate::metrics::Metrics;
use crate::revocation::Revocation;
use crate::service::person_grant::{PersonDecision, decide_scopes};
use crate::service::tokens::TokenSubject;
use crate::service::{AdmittedClient, DeviceCookie, LimitedAction, Service, ServiceError, TokenPair};
use crate::store::{KnownDevice, NewSession, Store, session_limit_event};

/// More logins to one account than its replicas have in progress.
const MAX_CONCURRENT_LOGINS: i64 = 50;

/// The credentials of a login.
pub struct LoginForm<'a> {
    /// A username or an address, compared without regard to case.
    pub name: &'a str,
    pub password: Password,
    /// The device cookie of an earlier login.
    pub device: Option<DeviceCookie<'a>>,
    /// Whether to remember a device that is new to the account.
    pub remember_device: bool,
    /// Whether the device is a program, not a browser.
    pub is_program: bool,
    /// The client that a program named.
    pub client: AdmittedClient,
    /// The requested scopes, separated by spaces; empty for all that the client may have. They mean nothing without a
    /// registered client.
    pub scope: &'a str,
}

/// A new session.
pub struct LoggedIn {
    pub pair: TokenPair,
    /// The device cookie to set, if the device is new to the account.
    pub new_device: Option<OneTimeSecret>,
}

/// Starts a session. An unknown name takes as long as a wrong password (OWASP ASVS 5.0 §6.3.8).
///
/// # Errors
/// [`ServiceError::InvalidCredentials`], [`ServiceError::Deactivated`], [`ServiceError::Unverified`],
/// [`ServiceError::NotAllowedClient`], [`ServiceError::InvalidScope`], [`ServiceError::RateLimited`],
/// [`ServiceError::Overloaded`], [`ServiceError::Unavailable`]
pub async fn login(
    service: &Service,
    form: LoginForm<'_>,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<LoggedIn, ServiceError> {
    // What the client may not have is no attempt to log in.
    let scopes =
        form.client.registered().map(|client| decide_scopes(client, form.scope, None)).transpose()?;
    let result = log_in_within_limits(service, form, scopes, origin, now).await;
    service.metrics.count_login(match &result {
        Ok(_) => "succeeded",
        Err(ServiceError::InvalidCredentials) => "refused",
        Err(ServiceError::Deactivated) => "deactivated",
        Err(ServiceError::Unverified) => "unverified",
        Err(ServiceError::NotAllowedClient) => "not_allowed",
        Err(ServiceError::RateLimited(_)) => "limited",
        Err(ServiceError::Overloaded(_)) => "overloaded",
        Err(_) => "failed",
    });
    result
}

async fn log_in_within_limits(
    service: &Service,
    form: LoginForm<'_>,
    scopes: Option<Vec<String>>,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<LoggedIn, ServiceError> {
    // Before anything else, so that a storm of logins costs the stores nothing.
    service.hashing.check_capacity()?;
    let device = service.find_device(form.device).await?;
    let attempt = service.limit(LimitedAction::Login, form.name, device.as_ref(), origin).await?;
    let result = log_in(service, form, device, scopes.as_deref(), origin, now).await;
    match &result {
        Ok(_) => attempt.settle(true).await,
        // A guess that was answered stays counted. Any other error revealed nothing.
        Err(
            ServiceError::InvalidCredentials
            | ServiceError::Deactivated
            | ServiceError::Unverified
            | ServiceError::NotAllowedClient,
        ) => {
            attempt.settle(false).await;
        }
        _ => attempt.give_back().await,
    }
    result
}

async fn log_in(
    service: &Service,
    form: LoginForm<'_>,
    device: Option<KnownDevice>,
    scopes: Option<&[String]>,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<LoggedIn, ServiceError> {
    let LoginForm { name, password, remember_device, is_program, client, .. } = form;
    let own_device = device.as_ref().filter(|device| device.answers_to(&LoginName::canonical_spelling(name)));
    let account = match (own_device, LoginName::parse(name)) {
        // Read with the device. `begin_session` finds out whether they have changed since.
        (Some(device), Some(_)) => Some(device.credentials.clone()),
        (None, Some(name)) => service.store.find_credentials(&name).await?,
        (_, None) => None,
    };
    let stored = account.as_ref().and_then(|account| account.password_hash.clone());
    let correct = service.hashing.verify(password.clone(), stored.clone()).await?;
    let user_id = account.as_ref().map(|account| account.id);
    let refused = |why| AuditEvent {
        kind: AuditKind::Login,
        outcome: Outcome::Refused,
        actor_id: None,
        user_id,
        session_id: None,
        origin: Some(origin),
        detail: json!({ "reason": why }),
    };
    let Some((account, stored)) = account.zip(stored).filter(|_| correct) else {
        service.record(&refused("wrong_credentials")).await?;
        return Err(ServiceError::InvalidCredentials);
    };
    if !account.is_active {
        service.record(&refused("deactivated")).await?;
        return Err(ServiceError::Deactivated);
    }
    if !account.is_verified && !service.rules.accounts.unverified_login {
        service.record(&refused("unverified")).await?;
        return Err(ServiceError::Unverified);
    }
    let claims = match client.registered() {
        Some(client) => decide_claims(service, (client, scopes), account.id, refused("not_allowed")).await?,
        None => PersonClaims::default(),
    };
    let verified_hash = rehash_if_needed(service, account.id, stored, password).await?;
    let (access_expires_at, refresh_expires_at) = service.tokens.expiries(client.registered(), now);
    let subject = TokenSubject {
        user_id: account.id,
        session_id: Uuid::now_v7(),
        refresh_jti: Uuid::now_v7(),
        client: client.id().cloned(),
        claims,
        access_expires_at,
        refresh_expires_at,
    };
    // Signed first: no session starts whose tokens cannot be signed.
    let pair = service.tokens.sign_pair(account.username, &subject, now)?;
    let known = device.filter(|device| device.user_id == account.id).map(|device| device.token_hash);
    let new_device = match &known {
        None if remember_device => Some(OneTimeSecret::generate().ok_or_else(no_randomness)?),
        _ => None,
    };
    let device = known.or_else(|| new_device.as_ref().map(OneTimeSecret::hash));
    let begun = service
        .store
        .begin_session(&NewSession {
            id: subject.session_id,
            user_id: subject.user_id,
            verified_hash: &verified_hash,
            refresh_jti: subject.refresh_jti,
            access_expires_at: subject.access_expires_at,
            refresh_expires_at: subject.refresh_expires_at,
            origin,
            device: device.as_deref(),
            is_program,
            scopes,
        })
        .await?;
    let Some(before) = begun else { return Err(ServiceError::InvalidCredentials) };
    if account.unconfirmed {
        service.store.confirm_account(account.id).await?;
    }
    service.emit(&AuditEvent::own(AuditKind::Login, account.id, origin).in_session(subject.session_id));
    end_surplus_sessions(service, account.id, before, origin).await?;
    Ok(LoggedIn { pair, new_device })
}

/// What the access token says for a registered client with these scopes. `refused` is recorded if the person may not use it.
async fn decide_claims(
    service: &Service,
    (client, scopes): (&Client, Option<&[String]>),
    user_id: i64,
    mut refused: AuditEvent<'_>,
) -> Result<PersonClaims, ServiceError> {
    match service.decide_login(client, scopes.unwrap_or_default(), user_id).await? {
        PersonDecision::Granted(claims) => Ok(claims),
        PersonDecision::NotAllowed | PersonDecision::Over => {
            refused.detail["client_id"] = client.client_id.as_str().into();
            service.record(&refused).await?;
            Err(ServiceError::NotAllowedClient)
        }
    }
}

/// Ends the oldest sessions beyond the limit. What concurrent logins exceed is ended after they were answered, by the last
/// one of them, which sees all others.
async fn end_surplus_sessions(
    service: &Service,
    user_id: i64,
    before: i64,
    origin: &Origin,
) -> Result<(), ServiceError> {
    let sessions = SurplusSessions {
        store: service.store.clone(),
        revocation: Arc::clone(&service.revocation),
        metrics: Arc::clone(&service.metrics),
        limit: service.rules.accounts.max_sessions,
        user_id,
        origin: origin.clone(),
    };
    if before >= i64::from(sessions.limit) {
        return sessions.end().await;
    }
    // Far from the limit, the logins in progress cannot exceed it.
    if before + MAX_CONCURRENT_LOGINS < i64::from(sessions.limit) {
        return Ok(());
    }
    tokio::spawn(async move {
        if let Err(error) = sessions.end().await {
            tracing::warn!(%error, "the sessions beyond the limit were not ended; the next login does");
        }
    });
    Ok(())
}

struct SurplusSessions {
    store: Store,
    revocation: Arc<Revocation>,
    metrics: Arc<Metrics>,
    limit: u32,
    user_id: i64,
    origin: Origin,
}

impl SurplusSessions {
    async fn end(&self) -> Result<(), ServiceError> {
        let revoked = self.store.end_surplus_sessions(self.user_id, self.limit, &self.origin).await?;
        for session in &revoked {
            audit_log::emit(
                &self.metrics,
                &session_limit_event(self.user_id, session.session_id, &self.origin),
            );
        }
        self.revocation.announce(&revoked).await?;
        Ok(())
    }
}

pub(super) fn no_randomness() -> ServiceError {
    ServiceError::Internal("the system gives no randomness".to_owned())
}

/// Returns the hash that is now stored for the verified password; if too many hashes wait, the old one. Of several
/// concurrent logins one replaces the hash; the others verify the password against the new one, which may also be that of
/// a password changed in the meantime.
async fn rehash_if_needed(
    service: &Service,
    user_id: i64,
    stored: PasswordHash,
    password: Password,
) -> Result<PasswordHash, ServiceError> {
    if !service.hashing.needs_rehash(&stored) {
        return Ok(stored);
    }
    let ours = match service.hashing.rehash(password.clone()).await {
        Ok(ours) => ours,
        // The next login replaces the hash.
        Err(HashError::Overloaded(_)) => return Ok(stored),
        Err(error) => return Err(error.into()),
    };
    if service.store.replace_hash(user_id, &stored, &ours).await? {
        return Ok(ours);
    }
    let present = service.store.find_password_hash(user_id).await?;
    match present {
        Some(present) if service.hashing.verify_again(password, present.clone()).await? => Ok(present),
        _ => Err(ServiceError::InvalidCredentials),
    }
}

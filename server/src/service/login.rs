//! Logging in by name and password.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::tokens::TokenSubject;
use super::{Service, ServiceError, TokenPair};
use crate::domain::{AuditEvent, AuditKind, LoginName, Origin, Outcome, Password};
use crate::store::NewSession;

/// Begins a session. An unknown name costs as much time as a wrong password (OWASP ASVS 5.0 §6.3.8).
///
/// # Errors
/// [`ServiceError::InvalidCredentials`], [`ServiceError::Deactivated`], [`ServiceError::Unverified`],
/// [`ServiceError::Overloaded`],
/// [`ServiceError::Unavailable`]
pub async fn login(
    service: &Service,
    name: &str,
    password: Password,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<TokenPair, ServiceError> {
    let result = log_in(service, name, password, origin, now).await;
    service.metrics.count_login(match &result {
        Ok(_) => "succeeded",
        Err(ServiceError::InvalidCredentials) => "refused",
        Err(ServiceError::Deactivated) => "deactivated",
        Err(ServiceError::Unverified) => "unverified",
        Err(ServiceError::Overloaded(_)) => "overloaded",
        Err(_) => "failed",
    });
    result
}

async fn log_in(
    service: &Service,
    name: &str,
    password: Password,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<TokenPair, ServiceError> {
    let account = match LoginName::parse(name) {
        Some(name) => service.store.find_credentials(&name).await?,
        None => None,
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
    if !account.is_verified && !service.accounts.unverified_login {
        service.record(&refused("unverified")).await?;
        return Err(ServiceError::Unverified);
    }
    let verified_hash = rehash_if_needed(service, account.id, stored, password).await?;
    let subject = TokenSubject {
        user_id: account.id,
        session_id: Uuid::new_v4(),
        refresh_jti: Uuid::new_v4(),
        access_expires_at: now + service.access_lifetime,
        refresh_expires_at: now + service.refresh_lifetime,
    };
    // Signed first: a session whose tokens cannot be signed is not begun.
    let pair = service.sign_pair(account.username, subject, now)?;
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
        })
        .await?;
    if !begun {
        return Err(ServiceError::InvalidCredentials);
    }
    service.tell(&AuditEvent::own(AuditKind::Login, account.id, origin).in_session(subject.session_id));
    Ok(pair)
}

/// The hash that now stands for the verified password. Of several logins at once one replaces it; the others
/// verify the password against what it put there, which may also be a password that was changed meanwhile.
async fn rehash_if_needed(
    service: &Service,
    user_id: i64,
    stored: String,
    password: Password,
) -> Result<String, ServiceError> {
    if !service.hashing.needs_rehash(&stored) {
        return Ok(stored);
    }
    let ours = service.hashing.hash(password.clone()).await?;
    if service.store.replace_hash(user_id, &stored, &ours).await? {
        return Ok(ours);
    }
    let present = service.store.find_password_hash(user_id).await?;
    if present.is_some() && service.hashing.verify(password, present.clone()).await? {
        return present.ok_or(ServiceError::InvalidCredentials);
    }
    Err(ServiceError::InvalidCredentials)
}

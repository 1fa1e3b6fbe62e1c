//! Tokens, key sets and password hashes.

use std::sync::{Arc, LazyLock};

use chrono::DateTime;
use jsonwebtoken::Header;
use latchkey_keyset::{Algorithm, Phase, PrivateKeySet, generate};

use super::hash_formats::parse_stored;
use super::{ForeignHash, KeyRing, TokenKind, TokenVerifier, UnverifiedAssertion, VerifiedToken};

const ISSUER: &str = "https://auth.example";

/// A ring with one key, which is made when it is first used.
static RING: LazyLock<Arc<KeyRing>> = LazyLock::new(|| {
    let key = generate(Algorithm::Es256, Phase::Active).expect("a key");
    let set = PrivateKeySet::new(vec![key]).expect("a key set");
    KeyRing::of(set.to_json().as_bytes()).expect("a ring")
});

/// A token, or after a zero byte the claims of one with a valid signature.
pub fn token(data: &[u8]) {
    let token = match data.split_first() {
        Some((0, claims)) => {
            let Ok(claims) = serde_json::from_slice::<serde_json::Value>(claims) else { return };
            let keys = RING.keys().expect("the ring has keys");
            let mut header = Header::new(keys.active_algorithm);
            header.typ = Some("at+jwt".to_owned());
            header.kid = Some(keys.active_kid.clone());
            let Ok(token) = jsonwebtoken::encode(&header, &claims, &keys.signing) else { return };
            token
        }
        _ => String::from_utf8_lossy(data).into_owned(),
    };
    let verifier = TokenVerifier::new(Arc::clone(&RING), ISSUER, ISSUER);
    let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
    for kind in [TokenKind::Access, TokenKind::Refresh] {
        if let Ok(verified) = verifier.verify_session(kind, &token, now) {
            assert!(kind == TokenKind::Access && verified.expires_at > now.timestamp());
        }
    }
    if let Ok(verified) = verifier.verify_access(&token, now) {
        let is_session = matches!(verified, VerifiedToken::Session(_));
        assert_eq!(is_session, verifier.verify_session(TokenKind::Access, &token, now).is_ok());
    }
}

/// An assertion of a client, whose signature is not valid. Its claims are checked in both ways.
pub fn client_assertion(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    let Some(assertion) = UnverifiedAssertion::read(token) else { return };
    let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
    if let Ok((jti, until)) = assertion.claims.check("orders", &[ISSUER], now) {
        assert!(!jti.is_empty() && until > now);
    }
    if let Ok((account, _)) = assertion.claims.check_service_account(ISSUER, now) {
        assert_ne!(account.name, "default");
    }
}

/// A key set. What is accepted can be written and read again.
pub fn key_set(data: &[u8]) {
    if let Ok(set) = PrivateKeySet::parse(data) {
        let text = set.to_json();
        let again = PrivateKeySet::parse(text.as_bytes()).expect("it was accepted");
        assert_eq!(again.to_json(), text);
        let _ = KeyRing::of(data);
    }
}

/// The password hash of another system. What is stored can be read again.
pub fn password_hash(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = parse_stored(text);
    if let Ok(ForeignHash(super::foreign_hash::ForeignKind::Stored(stored))) = ForeignHash::parse(text) {
        assert!(parse_stored(stored.expose()).is_ok());
    }
}

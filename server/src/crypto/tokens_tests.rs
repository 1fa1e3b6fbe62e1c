use latchkey_keyset::{Algorithm, Phase, PrivateKeySet, generate};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://auth.example";
/// In the past, because `nbf` is compared with the clock.
const NOW: i64 = 1_700_000_000;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

struct Signer {
    ring: Arc<KeyRing>,
}

impl Signer {
    fn new() -> Self {
        let key = generate(Algorithm::Es256, Phase::Active).unwrap();
        let set = PrivateKeySet::new(vec![key]).unwrap();
        Self { ring: KeyRing::of(set.to_json().as_bytes()).unwrap() }
    }

    fn verifier(&self) -> TokenVerifier {
        TokenVerifier::new(Arc::clone(&self.ring), ISSUER, ISSUER)
    }

    fn issuer(&self) -> TokenIssuer {
        TokenIssuer::new(Arc::clone(&self.ring), ISSUER, ISSUER)
    }

    /// A token with any claims and a valid signature.
    fn sign(&self, typ: &str, claims: &Value) -> String {
        let keys = self.ring.keys().unwrap();
        let mut header = Header::new(keys.active_algorithm);
        header.typ = Some(typ.to_owned());
        header.kid = Some(keys.active_kid.clone());
        jsonwebtoken::encode(&header, claims, &keys.signing).unwrap()
    }

    fn verify(&self, claims: &Value) -> Result<VerifiedToken, TokenError> {
        self.verifier().verify_access(&self.sign("at+jwt", claims), now())
    }
}

/// The claims of a client's token, with changes; `null` removes one.
fn client_claims(changes: &[(&str, Value)]) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "sub": "orders", "client_id": "orders", "aud": "https://api.example", "iat": NOW, "nbf": NOW,
        "exp": NOW + 600, "jti": Uuid::from_u128(1), "cred": Uuid::from_u128(2), "scope": "a b",
    });
    change(&mut claims, changes);
    claims
}

/// The claims of a person's token, likewise.
fn session_claims(changes: &[(&str, Value)]) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "sub": "7", "client_id": "latchkey", "aud": ISSUER, "iat": NOW, "nbf": NOW, "exp": NOW + 600,
        "jti": Uuid::from_u128(1), "sid": Uuid::from_u128(3),
    });
    change(&mut claims, changes);
    claims
}

fn change(claims: &mut Value, changes: &[(&str, Value)]) {
    let claims = claims.as_object_mut().unwrap();
    for (name, value) in changes {
        if value.is_null() {
            claims.remove(*name);
        } else {
            claims.insert((*name).to_owned(), value.clone());
        }
    }
}

#[test]
fn a_token_for_a_client_is_verified_as_one() {
    let signer = Signer::new();
    let grant = ClientGrant {
        client_id: "orders",
        credential: Uuid::from_u128(2),
        audience: "https://api.example",
        scope: Some("orders:read"),
        jti: Uuid::from_u128(1),
        expires_at: DateTime::from_timestamp(NOW + 600, 0).unwrap(),
    };
    let token = signer.issuer().sign_for_client(&grant, now()).unwrap();
    let verifier = signer.verifier();
    // The second one is cached.
    for _ in 0..2 {
        let VerifiedToken::Client(client) = verifier.verify_access(&token, now()).unwrap() else {
            panic!("not a client's")
        };
        assert_eq!((client.client.as_str(), client.credential), ("orders", grant.credential));
        assert_eq!((&*client.audience, client.scope.as_deref()), (grant.audience, grant.scope));
        assert_eq!((client.jti, client.issued_at, client.expires_at), (grant.jti, now(), NOW + 600));
    }
    let later = DateTime::from_timestamp(NOW + 600, 0).unwrap();
    assert_eq!(verifier.verify_access(&token, later), Err(TokenError::Expired));
}

#[test]
fn what_acts_for_a_person_refuses_a_token_of_a_client() {
    let signer = Signer::new();
    let client = signer.sign("at+jwt", &client_claims(&[("aud", json!(ISSUER))]));
    let verifier = signer.verifier();
    assert!(matches!(verifier.verify_access(&client, now()), Ok(VerifiedToken::Client(_))));
    assert_eq!(verifier.verify_session(TokenKind::Access, &client, now()), Err(TokenError::Invalid));
    let ignoring_expiry = verifier.verify_session_ignoring_expiry(TokenKind::Access, &client);
    assert_eq!(ignoring_expiry, Err(TokenError::Invalid));
    let person = signer.sign("at+jwt", &session_claims(&[]));
    assert_eq!(verifier.verify_session(TokenKind::Access, &person, now()).unwrap().user_id, 7);
}

#[test]
fn a_token_of_both_or_of_neither_is_nobodys() {
    let signer = Signer::new();
    let id = json!(Uuid::from_u128(9));
    for claims in [
        session_claims(&[("cred", id.clone())]),
        client_claims(&[("sid", id.clone())]),
        session_claims(&[("sid", Value::Null)]),
        client_claims(&[("cred", Value::Null)]),
        // A person's claims with a client's mark, and the other way round.
        session_claims(&[("sid", Value::Null), ("cred", id.clone())]),
        client_claims(&[("cred", Value::Null), ("sid", id)]),
    ] {
        assert_eq!(signer.verify(&claims), Err(TokenError::Invalid), "{claims}");
    }
}

#[test]
fn the_subject_of_a_client_is_its_id_and_not_that_of_an_account() {
    let signer = Signer::new();
    assert!(signer.verify(&client_claims(&[])).is_ok());
    for changes in [
        [("sub", json!("7")), ("client_id", json!("7"))],
        [("sub", json!("7")), ("client_id", json!("orders"))],
        [("sub", json!("orders")), ("client_id", json!("billing"))],
        [("sub", json!("orders")), ("client_id", Value::Null)],
        [("sub", json!("a b")), ("client_id", json!("a b"))],
        [("sub", json!("latchkey")), ("client_id", json!("latchkey"))],
        [("sub", json!("")), ("client_id", json!(""))],
    ] {
        let claims = client_claims(&changes);
        assert_eq!(signer.verify(&claims), Err(TokenError::Invalid), "{claims}");
    }
}

#[test]
fn a_persons_token_needs_the_audience_of_this_service() {
    let signer = Signer::new();
    assert!(signer.verify(&session_claims(&[])).is_ok());
    for audience in [json!("https://api.example"), json!([ISSUER]), json!(""), Value::Null] {
        let claims = session_claims(&[("aud", audience)]);
        assert_eq!(signer.verify(&claims), Err(TokenError::Invalid), "{claims}");
    }
    for audience in [json!([ISSUER]), Value::Null] {
        let claims = client_claims(&[("aud", audience)]);
        assert_eq!(signer.verify(&claims), Err(TokenError::Invalid), "{claims}");
    }
}

#[test]
fn a_client_has_no_refresh_tokens() {
    let signer = Signer::new();
    let token = signer.sign("rt+jwt", &client_claims(&[("aud", json!(ISSUER))]));
    let verifier = signer.verifier();
    assert_eq!(verifier.verify_ignoring_expiry(TokenKind::Refresh, &token), Err(TokenError::Invalid));
    assert_eq!(verifier.verify_access(&token, now()), Err(TokenError::Invalid));
}

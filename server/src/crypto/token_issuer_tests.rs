use latchkey_keyset::{Algorithm, Phase, PrivateKeySet, generate};
use serde_json::{Value, json};

use std::sync::Arc;

use super::*;
use crate::crypto::client_token::{Actors, TokenOwner};
use crate::crypto::{KeyRing, ServiceAccountToken, VerifiedToken};

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
        TokenIssuer::new(self.verifier())
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
        workload: None,
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
fn the_token_of_a_workload_is_read_from_the_access_token_that_was_issued_for_it_only() {
    let signer = Signer::new();
    let workload = ServiceAccountToken::new("eyJhIjoxfQ.eyJiIjoyfQ.c2lnbmF0dXJl");
    let grant = ClientGrant {
        client_id: "orders",
        credential: Uuid::from_u128(2),
        audience: "https://api.example",
        scope: None,
        workload: Some(&workload),
        jti: Uuid::from_u128(1),
        expires_at: DateTime::from_timestamp(NOW + 600, 0).unwrap(),
    };
    let token = signer.issuer().sign_for_client(&grant, now()).unwrap();
    let sealed = latchkey_tests::forged_tokens::claim(&token, "workload");
    for claims in [client_claims, exchanged_claims] {
        let found = match signer.verify(&claims(&[("workload", sealed.clone())])) {
            Ok(VerifiedToken::Client(token)) => token.workload,
            Ok(VerifiedToken::Exchanged(token)) => token.workload,
            other => panic!("{other:?}"),
        };
        assert_eq!(found.as_ref(), Some(&workload));
        for change in [
            ("jti", json!(Uuid::from_u128(9))),
            ("cred", json!(Uuid::from_u128(9))),
            ("workload", json!("")),
            ("workload", json!(workload.expose())),
        ] {
            let claims = claims(&[("workload", sealed.clone()), change]);
            assert_eq!(signer.verify(&claims), Err(TokenError::Invalid), "{claims}");
        }
    }
    let person = session_claims(&[("workload", sealed)]);
    assert_eq!(signer.verify(&person), Err(TokenError::Invalid));
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
fn an_access_token_has_the_claims_about_the_person_and_a_refresh_token_does_not() {
    let signer = Signer::new();
    let person = PersonClaims {
        scope: Some("a groups".to_owned()),
        groups: Some(vec!["staff".to_owned()]),
        more: json!({ "roles": ["admin"] }).as_object().unwrap().clone(),
    };
    let ids = (7, Uuid::from_u128(3), Uuid::from_u128(1));
    let client = ClientId::parse("shop");
    let sign = |kind, person: &PersonClaims| {
        let expires_at = DateTime::from_timestamp(NOW + 600, 0).unwrap();
        signer.issuer().sign(kind, ids, (client.as_ref(), person), now(), expires_at).unwrap()
    };
    let verifier = signer.verifier();
    let token = sign(TokenKind::Access, &person);
    let found = verifier.verify_session(TokenKind::Access, &token, now()).unwrap();
    assert_eq!((found.user_id, found.client), (7, client.clone()));
    assert_eq!(found.scope.as_deref(), Some("a groups"));
    assert_eq!(found.groups.as_deref(), Some(&["staff".to_owned()][..]));
    let payload = |token: &str| latchkey_tests::forged_tokens::Forged::from_token(token).claims;
    assert_eq!(payload(&token)["roles"], json!(["admin"]));

    let refresh = sign(TokenKind::Refresh, &person);
    let nothing = sign(TokenKind::Access, &PersonClaims::default());
    for token in [&refresh, &nothing] {
        let claims = payload(token);
        assert!(["scope", "groups", "roles"].iter().all(|name| !claims.contains_key(*name)), "{claims:?}");
    }
    // Signed by hand: what a refresh token says is not read.
    let forged = session_claims(&[("scope", json!("a")), ("groups", json!(["staff"]))]);
    let found = verifier.verify_session(TokenKind::Refresh, &signer.sign("rt+jwt", &forged), now()).unwrap();
    assert_eq!((found.scope, found.groups), (None, None));
    let malformed = signer.verify(&session_claims(&[("groups", json!("staff"))]));
    assert_eq!(malformed, Err(TokenError::Invalid));
}

/// Two ready replicas may differ by ten minutes. `nbf` is compared with the clock of the machine.
#[test]
fn a_token_of_a_replica_whose_clock_is_ahead_is_accepted() {
    let signer = Signer::new();
    let clock = Utc::now().timestamp();
    for (seconds, is_accepted) in [(0, true), (590, true), (660, false)] {
        for claims in [session_claims, client_claims] {
            let claims = claims(&[("nbf", json!(clock + seconds))]);
            assert_eq!(signer.verify(&claims).is_ok(), is_accepted, "{claims}");
        }
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

#[test]
fn the_issuer_remembers_of_an_access_token_what_another_verifier_reads() {
    let signer = Signer::new();
    let verifier = signer.verifier();
    let mut issuer = TokenIssuer::new(verifier.clone());
    let (ids, until) = ((7, Uuid::from_u128(3), Uuid::from_u128(1)), now() + chrono::TimeDelta::minutes(10));
    let client = ClientId::parse("orders").unwrap();
    let nothing = PersonClaims::default();
    let sign = |kind, client, person| issuer.sign(kind, ids, (client, person), now(), until).unwrap();
    let person = PersonClaims {
        scope: Some("a groups".to_owned()),
        groups: Some(vec!["staff".to_owned()]),
        more: json!({ "roles": ["admin"] }).as_object().unwrap().clone(),
    };
    let workload = ServiceAccountToken::new("eyJhIjoxfQ.eyJiIjoyfQ.c2lnbmF0dXJl");
    let grant = ClientGrant {
        client_id: client.as_str(),
        credential: Uuid::from_u128(2),
        audience: "https://api.example",
        scope: Some("read"),
        workload: Some(&workload),
        jti: Uuid::from_u128(1),
        expires_at: until,
    };
    let exchange = ExchangeGrant {
        token: grant,
        subject: TokenOwner::Person { user_id: 7, session_id: Uuid::from_u128(3) },
        actors: Actors::begin(client.clone(), None).unwrap(),
        prior_credentials: vec![Uuid::from_u128(4)],
    };
    for token in [
        sign(TokenKind::Access, None, &nothing),
        sign(TokenKind::Access, Some(&client), &person),
        issuer.sign_for_client(&grant, now()).unwrap(),
        issuer.sign_for_client(&ClientGrant { scope: None, workload: None, ..grant }, now()).unwrap(),
        issuer.sign_exchanged(&exchange, now()).unwrap(),
    ] {
        let read = signer.verifier().verify_access(&token, now()).unwrap();
        assert_eq!(verifier.cached(&token), Some(read));
        assert_eq!(signer.verifier().cached(&token), None);
    }
    assert_eq!(verifier.cached(&sign(TokenKind::Refresh, None, &nothing)), None);
    issuer.forget_tokens();
    let another = ClientGrant { jti: Uuid::from_u128(9), ..grant };
    assert_eq!(verifier.cached(&issuer.sign_for_client(&another, now()).unwrap()), None);
}

/// The claims of a token that the client `orders` got for a person's, with changes.
fn exchanged_claims(changes: &[(&str, Value)]) -> Value {
    let exchanged =
        [("sub", json!("7")), ("sid", json!(Uuid::from_u128(3))), ("act", json!({ "sub": "orders" }))];
    client_claims(&[&exchanged[..], changes].concat())
}

#[test]
fn an_exchanged_token_is_verified_as_what_was_signed_and_acts_for_nobody() {
    let signer = Signer::new();
    let before = Actors::begin(ClientId::parse("web").unwrap(), None).unwrap();
    let orders = ClientId::parse("orders").unwrap();
    let token = ClientGrant {
        client_id: "orders",
        credential: Uuid::from_u128(2),
        audience: ISSUER,
        scope: Some("read"),
        workload: None,
        jti: Uuid::from_u128(1),
        expires_at: DateTime::from_timestamp(NOW + 600, 0).unwrap(),
    };
    for subject in [
        TokenOwner::Person { user_id: 7, session_id: Uuid::from_u128(3) },
        TokenOwner::Client(ClientId::parse("batch").unwrap()),
    ] {
        let actors = Actors::begin(orders.clone(), Some(&before)).unwrap();
        let prior_credentials = vec![Uuid::from_u128(4)];
        let grant = ExchangeGrant { token, subject, actors, prior_credentials };
        let text = signer.issuer().sign_exchanged(&grant, now()).unwrap();
        let verifier = signer.verifier();
        let VerifiedToken::Exchanged(found) = verifier.verify_access(&text, now()).unwrap() else {
            panic!("not an exchanged one")
        };
        assert_eq!((&found.subject, &found.actors), (&grant.subject, &grant.actors));
        assert_eq!(
            (found.credential, &*found.prior_credentials),
            (token.credential, &grant.prior_credentials[..])
        );
        assert_eq!((&*found.audience, found.scope.as_deref(), found.jti), (ISSUER, token.scope, token.jti));
        for kind in [TokenKind::Access, TokenKind::Refresh] {
            assert_eq!(verifier.verify_session(kind, &text, now()), Err(TokenError::Invalid));
        }
    }
}

#[test]
fn an_exchanged_token_names_its_subject_its_actors_and_its_credential() {
    let signer = Signer::new();
    assert!(matches!(signer.verify(&exchanged_claims(&[])), Ok(VerifiedToken::Exchanged(_))));
    let mut long = json!({ "sub": "a" });
    for _ in 0..Actors::MOST {
        long = json!({ "sub": "orders", "act": long });
    }
    for changes in [
        [("cred", Value::Null), ("x", Value::Null)],
        [("client_id", Value::Null), ("x", Value::Null)],
        [("client_id", json!("web")), ("x", Value::Null)],
        [("act", json!({})), ("x", Value::Null)],
        [("act", json!("orders")), ("x", Value::Null)],
        [("act", json!({ "sub": "orders", "act": { "sub": "7" } })), ("x", Value::Null)],
        [("act", long), ("x", Value::Null)],
        // Without `sid` the subject is a client, with it an account.
        [("sid", Value::Null), ("x", Value::Null)],
        [("sub", json!("orders")), ("x", Value::Null)],
        [("act", json!({ "sub": "7" })), ("client_id", json!("7"))],
    ] {
        let claims = exchanged_claims(&changes);
        assert_eq!(signer.verify(&claims), Err(TokenError::Invalid), "{claims}");
    }
    // Nothing but an access token.
    let refresh = signer.sign("rt+jwt", &exchanged_claims(&[]));
    assert_eq!(
        signer.verifier().verify_ignoring_expiry(TokenKind::Refresh, &refresh),
        Err(TokenError::Invalid)
    );
}

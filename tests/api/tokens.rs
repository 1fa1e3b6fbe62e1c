//! The content of tokens, and the tokens that are refused.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use insta::assert_json_snapshot;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, ISSUER, SUPERUSER, Session, path, superuser_password};
use latchkey_tests::forged_tokens::{Forged, claim};
use latchkey_tests::key_set::{self, in_phase};
use serde_json::{Value, json};

fn keys(app: &App) -> Vec<Value> {
    let text = fs::read_to_string(app.keys.path()).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["keys"].as_array().unwrap().clone()
}

#[tokio::test]
async fn tokens_have_the_header_and_the_claims_of_their_kind() {
    let app = App::start().await;
    let (user, session) = app.new_session("claims").await;

    for (name, token) in [("access", &session.access), ("refresh", &session.refresh)] {
        let Forged { header, claims } = Forged::from_token(token);
        assert_json_snapshot!(format!("{name}_token"), json!({ "header": header, "claims": claims }), {
            ".header.kid" => "<kid>",
            ".claims.sub" => "<user id>",
            ".claims.jti" => "<token id>",
            ".claims.sid" => "<session id>",
            ".claims.iat" => "<seconds>",
            ".claims.nbf" => "<seconds>",
            ".claims.exp" => "<seconds>",
        });
        assert_eq!(claims["sub"], user.id.to_string());
        assert!(claims["iat"].is_i64() && claims["nbf"].is_i64() && claims["exp"].is_i64());
        assert_eq!(header["kid"], keys(&app)[0]["kid"]);
    }
    assert_eq!(claim(&session.access, "sid"), claim(&session.refresh, "sid"));
    assert_ne!(claim(&session.access, "jti"), claim(&session.refresh, "jti"));
}

#[tokio::test]
async fn tokens_have_the_configured_audience() {
    let app = App::setup().set("TOKEN_AUDIENCE", "https://api.example.test").start().await;
    let session = app.superuser().await;
    assert_eq!(claim(&session.access, "aud"), "https://api.example.test");
    assert_eq!(claim(&session.access, "iss"), ISSUER);
    app.me(&session.access).await.ok(200);
    let for_issuer = Forged::from_token(&session.access).claim("aud", ISSUER).sign(&keys(&app)[0]);
    app.me(&for_issuer).await.problem(401);
}

#[tokio::test]
async fn a_token_that_is_signed_again_unchanged_is_accepted() {
    // Shows that the tokens below are refused because of their changes.
    let app = App::start().await;
    let session = app.superuser().await;
    app.me(&Forged::from_token(&session.access).sign(&keys(&app)[0])).await.ok(200);
}

#[tokio::test]
async fn a_wrong_claim_is_refused() {
    let app = App::start().await;
    let session = app.superuser().await;
    let key = &keys(&app)[0];
    let good = Forged::from_token(&session.access);
    let now = Utc::now().timestamp();
    for (fault, forged) in [
        ("expired", good.clone().claim("exp", now - 300)),
        ("expiry is text", good.clone().claim("exp", "tomorrow")),
        ("not yet valid", good.clone().claim("nbf", now + 3600)),
        ("another issuer", good.clone().claim("iss", "https://evil.example.test")),
        ("the issuer with a slash", good.clone().claim("iss", format!("{ISSUER}/"))),
        ("another audience", good.clone().claim("aud", "https://evil.example.test")),
        ("a subject that is no number", good.clone().claim("sub", "root.admin")),
        ("a subject that is a number and no text", good.clone().claim("sub", 1)),
        ("an unknown subject", good.clone().claim("sub", "999999999")),
        ("a subject beyond any id", good.clone().claim("sub", "99999999999999999999999")),
        ("a session that is no id", good.clone().claim("sid", "'; DROP TABLE users; --")),
        ("an id that is none", good.clone().claim("jti", "nonsense")),
    ] {
        let answer = app.me(&forged.sign(key)).await;
        assert_eq!(answer.status, 401, "{fault}: {}", answer.body);
        answer.problem(401);
    }
}

/// Redis knows only which sessions have ended (docs/decisions/0002).
#[tokio::test]
async fn a_token_of_an_unknown_session_is_refused_where_postgresql_answers() {
    let mut app = App::start().await;
    let session = app.superuser().await.clone();
    app.redis.stop();
    app.server().wait_for_revocation_mode("postgres").await;
    app.me(&session.access).await.ok(200);
    let unknown = Forged::from_token(&session.access).claim("sid", uuid::Uuid::new_v4().to_string());
    app.me(&unknown.sign(&keys(&app)[0])).await.problem(401);
    app.refresh(&Session {
        access: session.access,
        refresh: unknown.header("typ", "rt+jwt").sign(&keys(&app)[0]),
    })
    .await
    .problem(401);
}

#[tokio::test]
async fn a_token_is_refused_after_it_expires() {
    let app = App::start().await;
    let session = app.superuser().await;
    let key = &keys(&app)[0];
    // Again if the machine is so slow that the token expires before the response.
    let (token, expires) = latchkey_tests::wait::until("a response before the token expires", || async {
        let expires = Utc::now().timestamp() + 2;
        let token = Forged::from_token(&session.access).claim("exp", expires).sign(key);
        let status = app.me(&token).await.status;
        latchkey_tests::wait::check(status == 200, status).map(|()| (token, expires))
    })
    .await;
    latchkey_tests::wait::until_equal("the status of /me", 401, || async { app.me(&token).await.status })
        .await;
    assert!(Utc::now().timestamp() >= expires, "the token expired too early");
}

#[tokio::test]
async fn a_missing_claim_is_refused() {
    let app = App::start().await;
    let session = app.superuser().await;
    for name in ["iss", "sub", "aud", "iat", "nbf", "exp", "jti", "sid"] {
        let token = Forged::from_token(&session.access).without_claim(name).sign(&keys(&app)[0]);
        let answer = app.me(&token).await;
        assert_eq!(answer.status, 401, "without `{name}`: {}", answer.body);
    }
}

#[tokio::test]
async fn a_wrong_header_is_refused() {
    let app = App::start().await;
    let session = app.superuser().await;
    let key = &keys(&app)[0];
    let good = Forged::from_token(&session.access);
    for (fault, forged) in [
        ("a refresh token's type", good.clone().header("typ", "rt+jwt")),
        ("a plain type", good.clone().header("typ", "JWT")),
        ("no type", good.clone().without_header("typ")),
        ("an unknown key", good.clone().header("kid", "unknown")),
        ("no key", good.clone().without_header("kid")),
        ("a key that is no text", good.clone().header("kid", json!({ "$ne": "" }))),
        ("another algorithm of the same kind", good.clone().header("alg", "ES384")),
        ("an algorithm of another kind", good.clone().header("alg", "RS256")),
        ("an unknown algorithm", good.clone().header("alg", "ES999")),
        ("no algorithm", good.clone().without_header("alg")),
        ("a critical extension", good.header("crit", json!(["exp"]))),
    ] {
        let answer = app.me(&forged.sign(key)).await;
        assert_eq!(answer.status, 401, "{fault}: {}", answer.body);
        answer.problem(401);
    }
}

#[tokio::test]
async fn a_token_of_the_other_kind_is_refused() {
    let app = App::start().await;
    let session = app.superuser().await;
    let key = &keys(&app)[0];
    app.me(&session.refresh).await.problem(401);
    app.refresh(&Session { access: session.access.clone(), refresh: session.access.clone() })
        .await
        .problem(401);
    app.refresh(&Session { access: session.refresh.clone(), refresh: session.refresh.clone() })
        .await
        .problem(401);
    let disguised = Forged::from_token(&session.access).header("typ", "rt+jwt").sign(key);
    app.refresh(&Session { access: session.access.clone(), refresh: disguised }).await.problem(401);
}

#[tokio::test]
async fn an_invalid_signature_is_refused() {
    let app = App::start().await;
    let session = app.superuser().await;
    let good = Forged::from_token(&session.access);
    let mut flipped = session.access.clone().into_bytes();
    let middle = flipped.len() - 20;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let payload_swapped = {
        let other = good.clone().claim("sub", "2").unsigned();
        let body = other.trim_end_matches('.');
        format!("{body}.{}", session.access.rsplit('.').next().unwrap())
    };
    for (fault, token) in [
        ("alg none", good.clone().header("alg", "none").unsigned()),
        ("alg NONE", good.clone().header("alg", "nOnE").unsigned()),
        ("nothing for a signature", good.unsigned()),
        ("a flipped bit", String::from_utf8(flipped).unwrap()),
        ("other claims", payload_swapped),
        ("a key of one's own", good.sign(&key_set::generate("ES256"))),
        ("two parts", session.access.rsplit_once('.').unwrap().0.to_owned()),
        ("four parts", format!("{}.e30", session.access)),
    ] {
        let answer = app.me(&token).await;
        assert_eq!(answer.status, 401, "{fault}: {}", answer.body);
    }
}

#[tokio::test]
async fn an_hmac_with_the_public_key_is_refused() {
    let app = App::start().await;
    let session = app.superuser().await;
    let jwks = app.get(path::JWKS).answer().await;
    let public = jwks.json()["keys"][0].clone();
    let point: Vec<u8> = ["x", "y"]
        .iter()
        .flat_map(|name| URL_SAFE_NO_PAD.decode(public[*name].as_str().unwrap()).unwrap())
        .collect();
    let forged = Forged::from_token(&session.access).header("alg", "HS256");
    for secret in [public.to_string().into_bytes(), jwks.body.clone().into_bytes(), point] {
        app.me(&forged.sign_hmac(&secret)).await.problem(401);
    }
}

#[tokio::test]
async fn a_key_in_the_token_is_ignored() {
    let app = App::start().await;
    let session = app.superuser().await;
    let mine = key_set::generate("ES256");
    let mut public = mine.clone();
    public.as_object_mut().unwrap().remove("d");
    let good = Forged::from_token(&session.access);
    let embedded = good.clone().header("jwk", public).header("kid", mine["kid"].clone()).sign(&mine);
    app.me(&embedded).await.problem(401);
    let linked = good.header("jku", "https://evil.example.test/jwks.json").sign(&mine);
    app.me(&linked).await.problem(401);
}

#[tokio::test]
async fn tokens_of_every_algorithm_and_phase_are_accepted() {
    let [es256, eddsa, rs256] = ["ES256", "EdDSA", "RS256"].map(key_set::generate);
    let keys = |active: &str| {
        [&es256, &eddsa, &rs256]
            .map(|key| in_phase(key, if key["alg"] == active { "active" } else { "retiring" }))
            .to_vec()
    };
    let app = App::setup().keys(keys("ES256")).start().await;
    let mut sessions = Vec::new();
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        app.keys.replace(&keys(algorithm));
        let session = latchkey_tests::wait::until(&format!("{algorithm} to sign"), || async {
            let session = app.log_in_as(SUPERUSER, &superuser_password()).await;
            let found = Forged::from_token(&session.access).header["alg"].clone();
            if found == algorithm { Ok(session) } else { Err(found) }
        })
        .await;
        sessions.push(session);
    }
    for session in &sessions {
        app.me(&session.access).await.ok(200);
        app.refresh(session).await.ok(200);
    }
    // The algorithm belongs to the key: a signature of the ES256 key with the id of the EdDSA key is invalid.
    let kid = eddsa["kid"].clone();
    let mixed = Forged::from_token(&sessions[0].access).header("kid", kid).sign(&es256);
    app.me(&mixed).await.problem(401);
}

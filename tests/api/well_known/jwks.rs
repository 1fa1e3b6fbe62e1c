//! `GET /.well-known/jwks.json`

use insta::assert_json_snapshot;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, ISSUER, path};
use latchkey_tests::key_set::{self, in_phase};
use serde_json::Value;

async fn jwks(app: &App) -> Value {
    let answer = app.get(path::JWKS).answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn the_public_part_of_every_key_is_published() {
    let keys = ["ES256", "EdDSA", "RS256"].map(key_set::generate);
    let phases = ["active", "published", "retiring"];
    let app = App::setup()
        .keys(keys.iter().zip(phases).map(|(key, phase)| in_phase(key, phase)).collect())
        .start()
        .await;

    let answer = app.get(path::JWKS).answer().await;

    assert_eq!(answer.status, 200, "{answer:?}");
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(["application/json", "application/jwk-set+json"].contains(&kind), "{kind}");
    let caching = answer.header("cache-control").unwrap_or_default();
    assert!(caching.contains("public") && caching.contains("max-age="), "{caching}");
    assert_json_snapshot!(answer.json(), {
        ".keys[].kid" => "<kid>", ".keys[].x" => "<x>", ".keys[].y" => "<y>", ".keys[].n" => "<n>",
    });
    let published = answer.json()["keys"].as_array().unwrap().clone();
    assert_eq!(published.len(), keys.len());
    for (published, key) in published.iter().zip(&keys) {
        assert_eq!(published["kid"], key["kid"]);
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert_eq!(published.get(private), None, "{private} is published");
        }
    }
}

#[tokio::test]
async fn an_application_can_verify_tokens_of_any_algorithm() {
    for (name, algorithm) in
        [("ES256", Algorithm::ES256), ("EdDSA", Algorithm::EdDSA), ("RS256", Algorithm::RS256)]
    {
        let app = App::setup().keys(vec![key_set::generate(name)]).start().await;
        let access = &app.superuser().await.access;
        let set: JwkSet = serde_json::from_value(jwks(&app).await).unwrap();

        let kid = jsonwebtoken::decode_header(access).unwrap().kid.unwrap();
        let key = DecodingKey::from_jwk(set.find(&kid).expect("the key that signed")).unwrap();
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[ISSUER]);
        validation.set_issuer(&[ISSUER]);
        let claims = jsonwebtoken::decode::<Value>(access, &key, &validation).expect(name).claims;
        assert_eq!(claims["iss"], ISSUER);
    }
}

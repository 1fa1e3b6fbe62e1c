//! `GET /.well-known/oauth-authorization-server` (RFC 8414)

use insta::assert_json_snapshot;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, ISSUER, SUPERUSER, path, superuser_password};
use latchkey_tests::clients_file::TestClient;
use serde_json::json;

const CLIENT: [(&str, &str); 2] = [
    ("INTROSPECTION_CLIENT_ID", "api"),
    ("INTROSPECTION_CLIENT_SECRET", "NeverLogged-0123456789abcdef0123456789abcdef"),
];

#[tokio::test]
async fn the_metadata_is_as_documented() {
    let app = App::start().await;
    let answer = app.get(path::METADATA).answer().await;
    assert_json_snapshot!(answer.ok(200));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
}

#[tokio::test]
async fn the_endpoints_work_as_the_metadata_says() {
    let app = App::setup().set(CLIENT[0].0, CLIENT[0].1).set(CLIENT[1].0, CLIENT[1].1).start().await;
    let metadata = app.get(path::METADATA).answer().await.ok(200);
    let below_issuer = |name: &str| {
        metadata[name].as_str().unwrap().strip_prefix(ISSUER).expect("below the issuer").to_owned()
    };
    assert_eq!(metadata["issuer"], ISSUER);

    let password = superuser_password();
    let grant = |grant: &str| {
        vec![
            ("grant_type", grant.to_owned()),
            ("username", SUPERUSER.to_owned()),
            ("password", password.clone()),
            ("refresh_token", "nonsense".to_owned()),
        ]
    };
    let grants = metadata["grant_types_supported"].as_array().unwrap();
    assert_eq!(grants.len(), 2, "{metadata}");
    for name in grants {
        let form = grant(name.as_str().unwrap());
        let answer = app.post(&below_issuer("token_endpoint")).form(&form).answer().await;
        assert!(answer.status == 200 || answer.json()["error"] == "invalid_grant", "{answer:?}");
    }
    for absent in ["authorization_code", "client_credentials"] {
        let answer = app.post(&below_issuer("token_endpoint")).form(&grant(absent)).answer().await;
        assert_eq!(answer.problem(400)["error"], "unsupported_grant_type");
    }
    for endpoint in ["introspection_endpoint", "revocation_endpoint"] {
        let methods = metadata[format!("{endpoint}_auth_methods_supported")].as_array().unwrap();
        assert_eq!(methods.len(), 3, "{metadata}");
        for method in methods {
            let request = app.post(&below_issuer(endpoint));
            let token = ("token", "nonsense");
            let request = match method.as_str().unwrap() {
                "Bearer" => request.bearer_auth(&app.superuser().await.access).form(&[token]),
                "client_secret_basic" => request.basic_auth(CLIENT[0].1, Some(CLIENT[1].1)).form(&[token]),
                "client_secret_post" => {
                    request.form(&[("client_id", CLIENT[0].1), ("client_secret", CLIENT[1].1), token])
                }
                other => panic!("{other}"),
            };
            assert_eq!(request.answer().await.status, 200, "{endpoint} {method}");
        }
    }
    assert!(app.get(&below_issuer("jwks_uri")).answer().await.ok(200)["keys"].is_array());
    assert_eq!(app.get(&below_issuer("service_documentation")).answer().await.status, 200);
}

#[tokio::test]
async fn the_metadata_names_what_registered_clients_can_use() {
    let client = TestClient::new("orders", &[]);
    let app = App::setup().clients(std::slice::from_ref(&client)).start().await;
    let metadata = app.get(path::METADATA).answer().await.ok(200);
    let methods = json!(["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]);
    assert_eq!(metadata["token_endpoint_auth_methods_supported"], methods);
    assert_eq!(
        metadata["grant_types_supported"],
        json!([
            "password",
            "refresh_token",
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:token-exchange"
        ])
    );
    for endpoint in ["introspection_endpoint", "revocation_endpoint"] {
        let methods = json!(["Bearer", "client_secret_basic", "client_secret_post", "private_key_jwt"]);
        assert_eq!(metadata[format!("{endpoint}_auth_methods_supported")], methods);
        let algorithms = json!(["ES256", "EdDSA", "RS256", "PS256"]);
        assert_eq!(metadata[format!("{endpoint}_auth_signing_alg_values_supported")], algorithms);
    }
    client.token(&app).await;
}

#[tokio::test]
async fn the_metadata_is_also_at_the_path_of_the_issuer() {
    let app = App::setup().set("ISSUER_URL", "https://example.test/tenants/one").start().await;
    for path in [path::METADATA.to_owned(), format!("{}/tenants/one", path::METADATA)] {
        let metadata = app.get(&path).answer().await.ok(200);
        assert_eq!(metadata["issuer"], "https://example.test/tenants/one");
        assert_eq!(metadata["token_endpoint"], "https://example.test/tenants/one/api/v1/auth/token");
    }
    for other in ["/tenants", "/tenants/one/", "/tenants/one/two", "/tenants/two"] {
        app.get(&format!("{}{other}", path::METADATA)).answer().await.problem(404);
    }
    let without = App::start().await;
    without.get(&format!("{}/tenants/one", path::METADATA)).answer().await.problem(404);
}

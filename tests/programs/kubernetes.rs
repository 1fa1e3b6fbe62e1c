//! kube-apiserver accepts our access tokens with the configuration of docs/how-to/authenticate-to-kubernetes.md, word for
//! word, and maps clients, people and their groups to RBAC.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::ListParams;
use kube::{Api, Client};
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, User, path};
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::control_plane::{Contents, ControlPlane, apply};
use latchkey_tests::forged_tokens::{Forged, claim};
use latchkey_tests::{chart, key_set, wait};
use serde_json::{Value, json};

use crate::gateways::documented;
use crate::https::Https;

const PAGE: &str = "docs/how-to/authenticate-to-kubernetes.md";

struct Case {
    https: Https,
    control_plane: ControlPlane,
    deployer: TestClient,
}

impl Case {
    async fn start() -> Self {
        let deployer = TestClient::new("shop.deployer", &[])
            .with("audiences", json!(["kubernetes", "https://api.example.com"]));
        let kubectl = TestClient::new("kubectl", &["groups"])
            .with("type", "public")
            .with("grant_types", json!(["password", "refresh_token"]))
            .with("credentials", json!([]));
        let https = Https::start(App::setup().clients(&[deployer.clone(), kubectl])).await;

        let text = documented(PAGE, "## Configure the API server");
        let text = text.replace("https://auth.example.com", &https.issuer);
        let mut configuration = chart::parse(&text).swap_remove(0);
        // The documented one relies on a public certificate.
        configuration["jwt"][0]["issuer"]["certificateAuthority"] = https.authority.text().into();
        let contents = Contents { crds: &[], controllers: &["clusterrole-aggregation-controller"] };
        let control_plane = ControlPlane::start_authenticating(contents, &configuration.to_string()).await;
        let admin = control_plane.client().await;
        for object in chart::parse(&documented(PAGE, "## Grant permissions")) {
            apply(&admin, &object).await;
        }
        Self { https, control_plane, deployer }
    }

    async fn client(&self, token: &str) -> Client {
        self.control_plane.client_with_token(token).await
    }

    /// Waits until the API server has read the keys, and returns the user of a token.
    async fn user(&self, token: &str) -> Value {
        let client = self.client(token).await;
        wait::until("the API server to accept the token", async || who_am_i(&client).await).await
    }

    /// Asserts that the API server does not know the user of a token.
    async fn assert_refused(&self, why: &str, token: &str) {
        let answer = who_am_i(&self.client(token).await).await;
        assert!(matches!(&answer, Err(kube::Error::Api(status)) if status.code == 401), "{why}: {answer:?}");
    }

    /// Asserts that the user of a token has the role `view`, as soon as the API server knows it.
    async fn assert_may_view(&self, token: &str) {
        let client = self.client(token).await;
        let config_maps = Api::<ConfigMap>::namespaced(client.clone(), "default");
        wait::until("the permission to read", async || config_maps.list(&ListParams::default()).await).await;
        let secrets = Api::<Secret>::namespaced(client, "default").list(&ListParams::default()).await;
        assert!(matches!(&secrets, Err(kube::Error::Api(status)) if status.code == 403), "{secrets:?}");
    }

    /// An access token of a person for kubectl.
    async fn token_of(&self, user: &User, client: &str, scope: &str) -> String {
        let form = [
            ("grant_type", "password"),
            ("client_id", client),
            ("scope", scope),
            ("username", &user.username),
            ("password", &user.password),
        ];
        let answer = self.https.app.post(path::TOKEN).form(&form).answer().await.ok(200);
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

async fn who_am_i(client: &Client) -> Result<Value, kube::Error> {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("content-type", "application/json")
        .body(review.to_string().into_bytes())
        .unwrap();
    let review: Value = client.request(request).await?;
    Ok(review["status"]["userInfo"].clone())
}

#[tokio::test]
async fn a_client_is_a_user_of_kubernetes() {
    let case = Case::start().await;
    let token = case.deployer.token(&case.https.app).await;

    let user = case.user(&token).await;
    assert_eq!(user["username"], "latchkey:client:shop.deployer", "{user}");
    assert_eq!(user["groups"], json!(["system:authenticated"]), "{user}");
    case.assert_may_view(&token).await;

    let elsewhere = [("resource", "https://api.example.com")];
    let other = case.deployer.token_response(&case.https.app, &elsewhere).await.ok(200);
    case.assert_refused("another audience", other["access_token"].as_str().unwrap()).await;
    let foreign = Forged::from_token(&token).sign(&key_set::generate("ES256"));
    case.assert_refused("another's key", &foreign).await;
    let expired = Forged::from_token(&token).claim("exp", claim(&token, "iat").as_i64().unwrap() - 600);
    case.assert_refused("expired", &expired.sign(key_set::of_this_process())).await;
}

#[tokio::test]
async fn a_person_is_a_user_of_kubernetes_with_the_groups_in_the_token() {
    let case = Case::start().await;
    let (person, session) = case.https.app.new_session("anna").await;
    let token = case.token_of(&person, "kubectl", "").await;

    let user = case.user(&token).await;
    assert_eq!(user["username"], format!("latchkey:user:{}", person.id), "{user}");
    assert_eq!(user["groups"], json!(["system:authenticated"]), "{user}");
    let token = Forged::from_token(&token).claim("groups", json!(["readers", "system:masters"]));
    let token = token.sign(key_set::of_this_process());
    let groups = case.user(&token).await["groups"].clone();
    assert_eq!(groups, json!(["latchkey:readers", "latchkey:system:masters", "system:authenticated"]));
    case.assert_may_view(&token).await;

    case.assert_refused("a token for another application", &case.token_of(&person, "web", "").await).await;
    case.assert_refused("a refresh token", &session.refresh).await;
}

#[tokio::test]
async fn groups_of_latchkey_are_groups_of_kubernetes() {
    let case = Case::start().await;
    let app = &case.https.app;
    let person = app.create_user("berta").await;
    let root = &app.superuser().await.access;
    app.post(path::GROUPS).bearer_auth(root).json(&json!({ "name": "readers" })).answer().await.ok(201);
    let member = format!("{}/readers/members/{}", path::GROUPS, person.id);
    let added = app.server().request("PUT", &member).bearer_auth(root).answer().await;
    assert!(added.status < 300, "{added:?}");

    let token = case.token_of(&person, "kubectl", "groups").await;
    let groups = case.user(&token).await["groups"].clone();
    assert_eq!(groups, json!(["latchkey:readers", "system:authenticated"]));
    case.assert_may_view(&token).await;
}

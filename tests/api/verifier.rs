//! An application with the layer of the crate `latchkey-verifier` accepts what the server issues, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{Extension, Request};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, ISSUER, path};
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::forged_tokens::Forged;
use latchkey_tests::key_set::{self, in_phase};
use latchkey_tests::wait;
use latchkey_verifier::{Builder, FeedClient, Token, Verifier};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The application of somebody else. Dropping it stops it.
struct Application {
    address: String,
    http: reqwest::Client,
    serving: JoinHandle<()>,
}

impl Drop for Application {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(router: Router) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (address, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

impl Application {
    async fn start(verifier: &Verifier) -> Self {
        let show = async |Extension(token): Extension<Token>| {
            Json(json!({ "sub": token.sub, "client_id": token.client_id, "person": token.is_person() }))
        };
        let router = Router::new()
            .route("/", get(show).layer(verifier.layer()))
            .route("/orders", get(show).layer(verifier.layer().scope("orders:read").scope("orders:list")))
            .route("/people", get(show).layer(verifier.layer().people_only()))
            .route("/staff", get(show).layer(verifier.layer().group("staff")));
        let (address, serving) = serve(router).await;
        Self { address, http: reqwest::Client::new(), serving }
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.http.get(format!("{}{path}", self.address)).bearer_auth(token).answer().await
    }

    async fn status(&self, token: &str) -> u16 {
        self.get("/", token).await.status
    }

    async fn wait_for(&self, token: &str, status: u16) {
        wait::until_equal("the status of the application", status, || self.status(token)).await;
    }
}

fn gateway() -> TestClient {
    TestClient::new("gateway", &["revocations.read"])
}

fn settings(app: &App) -> Builder {
    Verifier::builder(ISSUER, ISSUER).server(&app.server().api)
}

fn with_feed(app: &App, client: &TestClient) -> Builder {
    settings(app).feed(FeedClient::new(&client.id, &client.secret))
}

#[tokio::test]
async fn the_layer_accepts_the_tokens_of_the_server_and_no_others() {
    let orders = TestClient::new("orders", &["orders:list", "orders:read"]);
    let other = TestClient::new("other", &["orders:read"]);
    let elsewhere = TestClient::new("elsewhere", &[]).with("audiences", json!(["https://api.example.test"]));
    let app = App::setup().clients(&[orders.clone(), other.clone(), elsewhere.clone()]).start().await;
    let (user, session) = app.new_session("anna").await;
    let application = Application::start(&settings(&app).start()).await;

    let person = application.get("/", &session.access).await.json();
    assert_eq!(person, json!({"sub": user.id.to_string(), "client_id": "latchkey", "person": true}));
    let client = application.get("/", &orders.token(&app).await).await.json();
    assert_eq!(client, json!({"sub": "orders", "client_id": "orders", "person": false}));

    let forged = Forged::from_token(&session.access);
    let key = key_set::of_this_process();
    let of = |group: &str| forged.clone().claim("groups", json!([group])).sign(key);
    for (path, token, status) in [
        ("/orders", &orders.token(&app).await, 200),
        ("/orders", &other.token(&app).await, 403),
        ("/orders", &session.access, 403),
        ("/people", &session.access, 200),
        ("/people", &orders.token(&app).await, 403),
        ("/staff", &of("staff"), 200),
        ("/staff", &of("staffing"), 403),
    ] {
        let answer = application.get(path, token).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        if status == 403 {
            assert!(answer.header("www-authenticate").unwrap().contains("insufficient_scope"));
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        }
    }

    assert_eq!(application.status(&forged.sign(key)).await, 200, "the tokens below differ from it");
    let now = chrono::Utc::now().timestamp();
    let changed = |name: &str, value: Value| forged.clone().claim(name, value);
    for (why, token) in [
        ("a refresh token", session.refresh.clone()),
        ("another audience", elsewhere.token(&app).await),
        ("no signature", forged.unsigned()),
        ("another key", forged.sign(&key_set::generate("ES256"))),
        ("an unknown key id", forged.clone().header("kid", "unknown").sign(key)),
        ("no key id", forged.clone().without_header("kid").sign(key)),
        ("another algorithm", forged.clone().header("alg", "HS256").sign_hmac(b"secret")),
        ("no type", forged.clone().without_header("typ").sign(key)),
        ("the type of the feed", forged.clone().header("typ", "revocations+jwt").sign(key)),
        ("critical extensions", forged.clone().header("crit", json!(["b64"])).sign(key)),
        ("another issuer", changed("iss", json!("https://other.test")).sign(key)),
        ("expired", changed("exp", json!(now - 31)).sign(key)),
        ("not yet valid", changed("nbf", json!(now + 60)).sign(key)),
        ("no expiry", forged.clone().without_claim("exp").sign(key)),
        ("no audience", forged.clone().without_claim("aud").sign(key)),
        ("no JWT", "x".to_owned()),
    ] {
        let answer = application.get("/", &token).await;
        assert_eq!(answer.status, 401, "{why}: {answer:?}");
        assert!(answer.header("www-authenticate").unwrap().contains("invalid_token"), "{why}");
    }
    assert_eq!(application.status(&changed("exp", json!(now - 5)).sign(key)).await, 200, "the leeway");
    let without = application.http.get(&application.address).answer().await;
    assert_eq!((without.status, without.header("www-authenticate")), (401, Some("Bearer")));
}

#[tokio::test]
async fn what_is_revoked_is_refused_by_a_verifier_that_follows_the_feed() {
    let (client, orders) = (gateway(), TestClient::new("orders", &[]));
    let app = App::setup().replicas(2).clients(&[client.clone(), orders.clone()]).start().await;
    let (_, before) = app.new_session("before").await;
    let (_, during) = app.new_session("during").await;
    let (_, open) = app.new_session("open").await;
    let of_client = orders.token(&app).await;
    app.log_out(&before).await.ok(200);

    let verifier = with_feed(&app, &client).start();
    let application = Application::start(&verifier).await;
    application.wait_for(&open.access, 200).await;
    assert!(verifier.is_ready());
    assert_eq!(application.status(&before.access).await, 401);
    assert_eq!((application.status(&during.access).await, application.status(&of_client).await), (200, 200));

    app.log_out_at(1, &during).await.ok(200);
    application.wait_for(&during.access, 401).await;
    app.register(std::slice::from_ref(&client)).await;
    application.wait_for(&of_client, 401).await;
    assert_eq!(application.status(&open.access).await, 200);
}

#[tokio::test]
async fn a_verifier_that_hears_nothing_accepts_nothing_until_it_hears_again() {
    let client = gateway();
    let mut app = App::setup().clients(std::slice::from_ref(&client)).start().await;
    let (_, open) = app.new_session("open").await;
    let (_, out) = app.new_session("out").await;
    let application =
        Application::start(&with_feed(&app, &client).max_staleness(Duration::from_secs(2)).start()).await;
    application.wait_for(&open.access, 200).await;

    let authority = app.server().authority().to_owned();
    app.variables.insert("LISTEN_ADDR".to_owned(), authority);
    app.servers[0].kill();
    application.wait_for(&open.access, 503).await;
    let answer = application.get("/", &open.access).await;
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    app.restart(0).await;
    app.log_out(&out).await.ok(200);
    wait::until("the verifier to accept tokens", || async {
        let (out, open) = (application.status(&out.access).await, application.status(&open.access).await);
        // Nothing is accepted again before its revocation is known.
        assert_ne!(out, 200);
        wait::check(open == 200, open)
    })
    .await;
}

#[tokio::test]
async fn a_verifier_without_keys_or_with_a_refused_client_accepts_nothing() {
    let client = TestClient::new("gateway", &["other"]);
    let app = App::setup().clients(std::slice::from_ref(&client)).start().await;
    let token = &app.superuser().await.access;
    let no_scope = Application::start(&with_feed(&app, &client).start()).await;
    let no_server = Application::start(&settings(&app).server("http://127.0.0.1:9").start()).await;
    let file = app.keys.folder().join("public.json");
    let from_file = Application::start(&settings(&app).keys_file(&file).start()).await;
    for application in [&no_scope, &no_server, &from_file] {
        assert_eq!(application.status(token).await, 503);
    }
    // As the ConfigMap contains them.
    let keys = app.get(path::JWKS).answer().await.body;
    std::fs::write(&file, keys).unwrap();
    from_file.wait_for(token, 200).await;
    assert_eq!(no_scope.status(token).await, 503);
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let (old, new) = (key_set::generate("ES256"), key_set::generate("EdDSA"));
    let app = App::setup().keys(vec![old.clone()]).start().await;
    let (user, first) = app.new_session("anna").await;
    let application = Application::start(&settings(&app).start()).await;
    application.wait_for(&first.access, 200).await;
    app.keys.replace(&[in_phase(&old, "retiring"), in_phase(&new, "active")]);
    wait::until_equal("the number of keys", 2, || async {
        let keys = app.get(path::JWKS).answer().await.json();
        keys["keys"].as_array().map_or(0, Vec::len)
    })
    .await;
    let second = app.log_in(&user).await;
    application.wait_for(&second.access, 200).await;
    assert_eq!(application.status(&first.access).await, 200);
}

/// The page for a cursor.
type FalsePage = Box<dyn Fn(Option<String>) -> String + Send + Sync>;

/// A server, or somebody on the way, that answers the feed with this.
async fn start_false_feed(
    app: &App,
    page: impl Fn(Option<String>) -> String + Send + Sync + 'static,
) -> String {
    let keys = app.get(path::JWKS).answer().await.body;
    let page = Arc::new(page);
    let feed = async move |request: Request| {
        let query = request.uri().query().unwrap_or_default();
        let after = query.split('&').find_map(|pair| pair.strip_prefix("after="));
        Response::new(page(after.map(str::to_owned)))
    };
    let token = async || Json(json!({"access_token": "x", "expires_in": 600}));
    let router = Router::new()
        .route("/.well-known/jwks.json", get(async move || keys))
        .route("/api/v1/auth/token", axum::routing::post(token))
        .route("/api/v1/auth/revocations", get(feed));
    // It ends with the runtime of the test.
    serve(router).await.0
}

fn page(changes: &Value) -> Forged {
    let now = chrono::Utc::now().timestamp();
    let mut claims = json!({
        "iss": ISSUER, "iat": now, "after": null, "cursor": "c", "reset": false, "more": false,
        "tokens_valid_from": 0, "revoked": [], "accounts": [],
    });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let header = json!({"alg": "ES256", "typ": "revocations+jwt", "kid": key_set::of_this_process()["kid"]});
    let object = |value: Value| value.as_object().unwrap().clone();
    Forged { header: object(header), claims: object(claims) }
}

#[tokio::test]
async fn an_answer_that_is_not_the_servers_or_not_new_is_not_used() {
    let app = App::start().await;
    let token = app.superuser().await.access.clone();
    let key = key_set::of_this_process();
    let start = async |page: FalsePage| {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let server = start_false_feed(&app, move |after| {
            count.fetch_add(1, Ordering::Relaxed);
            page(after)
        })
        .await;
        let builder = settings(&app).server(&server).feed(FeedClient::new("c", "s"));
        (Application::start(&builder.start()).await, asked)
    };
    let good = Box::new(|after: Option<String>| page(&json!({ "after": after })).sign(key));
    let (application, _) = start(good).await;
    application.wait_for(&token, 200).await;

    let other = key_set::generate("ES256");
    let old = chrono::Utc::now().timestamp() - 120;
    let access = token.clone();
    let bad: [(&str, FalsePage); 6] = [
        ("another key", Box::new(move |_| page(&json!({})).sign(&other))),
        ("an access token", Box::new(move |_| access.clone())),
        ("the type of access tokens", Box::new(|_| page(&json!({})).header("typ", "at+jwt").sign(key))),
        ("an old page", Box::new(move |_| page(&json!({ "iat": old })).sign(key))),
        ("the answer to another request", Box::new(|_| page(&json!({"after": "b"})).sign(key))),
        ("another issuer", Box::new(|_| page(&json!({"iss": "https://other.test"})).sign(key))),
    ];
    for (why, page) in bad {
        let (application, asked) = start(page).await;
        wait::until("the feed to be asked twice", || async {
            let count = asked.load(Ordering::Relaxed);
            wait::check(count >= 2, count)
        })
        .await;
        assert_eq!(application.status(&token).await, 503, "{why}");
    }
}

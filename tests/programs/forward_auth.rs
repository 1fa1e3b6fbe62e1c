//! Runs real proxies with the settings of docs/how-to/forward-authentication.md, word for word.

use std::fs;

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, User};
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::programs::workspace;
use latchkey_tests::proxies::{EchoApplication, Proxy};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

/// An application behind a proxy that authenticates requests at Latchkey.
struct Case {
    app: App,
    proxy: Proxy,
    _application: EchoApplication,
    user: User,
    session: Session,
    client: TestClient,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nginx,
    Caddy,
    HaProxy,
}

impl Kind {
    /// The language of its settings in the documentation.
    fn language(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddyfile",
            Self::HaProxy => "haproxy",
        }
    }
}

/// The first fenced block of this language in the documentation.
fn documented(language: &str) -> String {
    let text = fs::read_to_string(workspace().join("docs/how-to/forward-authentication.md")).unwrap();
    let fenced = text.split_once(&format!("```{language}\n")).expect("a fenced block").1;
    fenced.split_once("```").expect("the end of the block").0.to_owned()
}

impl Case {
    async fn start(kind: Kind) -> Self {
        let client = TestClient::new("orders", &["orders:read", "orders:write"]);
        let app = App::setup().own_postgres().clients(std::slice::from_ref(&client)).start().await;
        let application = EchoApplication::start().await;
        let mut texts = vec![documented(kind.language())];
        if kind == Kind::HaProxy {
            texts.push(documented("lua"));
        }
        for placeholder in ["latchkey.auth.svc:8080", "app.example.svc:3000"] {
            let is_used = texts.iter().any(|text| text.contains(placeholder));
            assert!(is_used, "{placeholder} is not in the documented settings");
        }
        for text in &mut texts {
            *text = text
                .replace("latchkey.auth.svc:8080", app.server().authority())
                .replace("app.example.svc:3000", &application.authority());
        }
        let proxy = match kind {
            Kind::Nginx => Proxy::nginx(&texts[0]).await,
            Kind::Caddy => Proxy::caddy(&texts[0]).await,
            Kind::HaProxy => Proxy::haproxy(&texts[0], &texts[1]).await,
        };
        let (user, session) = app.new_session("anna").await;
        Self { app, proxy, _application: application, user, session, client }
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        Client::new().request(method.parse().unwrap(), format!("{}{path}", self.proxy.url))
    }

    fn get(&self) -> RequestBuilder {
        self.request("GET", "/")
    }
}

/// Asserts that the application received the request with these headers, as Latchkey reported them. An empty header says
/// nothing; nginx and Caddy do not forward it.
#[track_caller]
fn assert_headers(answer: &Answer, expected: &Value) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = answer.json();
    let identity: Value = seen["headers"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, value)| name.replace('_', "-").starts_with("x-auth-") && **value != json!([""]))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    assert_eq!(identity, *expected);
    assert_eq!(seen["headers"].get("authorization"), None, "the application received the token");
    seen
}

#[track_caller]
fn assert_admitted(answer: &Answer, user: &User) -> Value {
    assert_headers(
        answer,
        &json!({
            "x-auth-user-id": [user.id.to_string()],
            "x-auth-username": [user.username],
            "x-auth-email": [user.email],
            "x-auth-superuser": ["false"],
            "x-auth-client-id": ["latchkey"],
        }),
    )
}

#[track_caller]
fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 401, "{answer:?}");
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer"), "{challenge}");
    assert!(!answer.body.contains("headers"), "the application responded: {answer:?}");
}

async fn a_logged_in_user_is_admitted(kind: Kind) {
    let case = Case::start(kind).await;
    let bearer = case.get().bearer_auth(&case.session.access).answer().await;
    assert_admitted(&bearer, &case.user);
    let cookie = case.get().header("cookie", format!("a=b; access_token={}", case.session.access));
    assert_admitted(&cookie.answer().await, &case.user);
    for (method, path) in [("POST", "/orders?page=2"), ("DELETE", "/a/b"), ("PUT", "/")] {
        let request = case.request(method, path).bearer_auth(&case.session.access);
        let seen = assert_admitted(&request.body("a body").answer().await, &case.user);
        assert_eq!(seen["line"].as_str().unwrap().split(' ').take(2).collect::<Vec<_>>(), [method, path]);
    }

    assert_refused(&case.get().answer().await);
    assert_refused(&case.request("POST", "/orders").body("a body").answer().await);
    assert_refused(&case.get().bearer_auth("nonsense").answer().await);
    assert_refused(&case.get().bearer_auth(&case.session.refresh).answer().await);
    let refresh = case.get().header("cookie", format!("refresh_token={}", case.session.refresh));
    assert_refused(&refresh.answer().await);

    case.app.log_out(&case.session).await.ok(200);
    assert_refused(&case.get().bearer_auth(&case.session.access).answer().await);
}

async fn a_forged_user_header_does_not_reach_the_application(kind: Kind) {
    let case = Case::start(kind).await;
    let forge = |mut request: RequestBuilder| {
        for name in [
            "X-Auth-User-Id",
            "x-auth-username",
            "X-AUTH-EMAIL",
            "X-Auth-Superuser",
            "X-Auth-User-Id",
            "X-Auth-Client-Id",
            "X-Auth-Scopes",
        ] {
            request = request.header(name, "1").header(name.replace('-', "_"), "1");
        }
        // nginx only removes the headers that it sets, the others all with this prefix; other ones have no meaning.
        if kind == Kind::Nginx { request } else { request.header("X-Auth-Other", "1") }
    };
    assert_admitted(&forge(case.get().bearer_auth(&case.session.access)).answer().await, &case.user);
    // Most headers of a client's token are empty.
    let token = case.client.token(&case.app).await;
    assert_headers(&forge(case.get().bearer_auth(token)).answer().await, &of_the_client());
    assert_refused(&forge(case.get()).answer().await);
}

fn of_the_client() -> Value {
    json!({
        "x-auth-superuser": ["false"],
        "x-auth-client-id": ["orders"],
        "x-auth-scopes": ["orders:read orders:write"],
    })
}

async fn a_client_is_admitted_with_its_scopes(kind: Kind) {
    let case = Case::start(kind).await;
    let token = case.client.token(&case.app).await;
    assert_headers(&case.get().bearer_auth(&token).answer().await, &of_the_client());
    case.app.register(&[]).await;
    assert_refused(&case.get().bearer_auth(&token).answer().await);
}

async fn every_request_is_refused_while_latchkey_is_unavailable(kind: Kind) {
    let mut case = Case::start(kind).await;
    case.app.postgres.as_mut().unwrap().stop();
    // Without its database, and then without Latchkey.
    let expected = match kind {
        Kind::Nginx => [500, 500],
        Kind::Caddy => [503, 502],
        Kind::HaProxy => [503, 503],
    };
    let answer = case.get().bearer_auth(&case.session.access).answer().await;
    assert_eq!(answer.status, expected[0], "{answer:?}");
    case.app.servers[0].kill();
    let answer = case.get().bearer_auth(&case.session.access).answer().await;
    assert_eq!(answer.status, expected[1], "{answer:?}");
}

macro_rules! for_each_proxy {
    ($($property:ident),+ $(,)?) => {
        mod nginx {
            $(#[tokio::test]
            async fn $property() {
                super::$property(super::Kind::Nginx).await;
            })+
        }
        mod caddy {
            $(#[tokio::test]
            async fn $property() {
                super::$property(super::Kind::Caddy).await;
            })+
        }
        mod haproxy {
            $(#[tokio::test]
            async fn $property() {
                super::$property(super::Kind::HaProxy).await;
            })+
        }
    };
}

for_each_proxy!(
    a_logged_in_user_is_admitted,
    a_client_is_admitted_with_its_scopes,
    a_forged_user_header_does_not_reach_the_application,
    every_request_is_refused_while_latchkey_is_unavailable,
);

/// HAProxy continues after an error of a program in Lua.
#[tokio::test]
async fn haproxy_refuses_a_request_when_its_program_fails() {
    let application = EchoApplication::start().await;
    // Its response to the verification has no header with the user.
    let lua = documented("lua").replace("latchkey.auth.svc:8080", &application.authority());
    let settings = documented("haproxy").replace("app.example.svc:3000", &application.authority());
    let proxy = Proxy::haproxy(&settings, &lua).await;
    let answer = Client::new().get(&proxy.url).bearer_auth("any").answer().await;
    assert_eq!(answer.status, 503, "{answer:?}");
}

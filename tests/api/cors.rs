//! Cross-origin requests.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};

const ALLOWED_ORIGIN: &str = "https://app.example.test";

async fn preflight(app: &App, origin: &str, method: &str) -> Answer {
    preflight_for(app, origin, method, "authorization,content-type").await
}

async fn preflight_for(app: &App, origin: &str, method: &str, headers: &str) -> Answer {
    let request = app.server().request("OPTIONS", path::REFRESH).header("origin", origin);
    let request = request.header("access-control-request-method", method);
    request.header("access-control-request-headers", headers).answer().await
}

/// What `Vary` names, over all of its lines.
fn varies_by(answer: &Answer) -> Vec<String> {
    let lines =
        answer.headers.get_all("vary").iter().map(|value| value.to_str().unwrap().to_ascii_lowercase());
    lines.flat_map(|line| line.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>()).collect()
}

fn cors_headers(answer: &Answer) -> Vec<&str> {
    let names = answer.headers.keys().map(http::HeaderName::as_str);
    names.filter(|name| name.starts_with("access-control-allow")).collect()
}

#[tokio::test]
async fn by_default_no_origin_is_allowed() {
    let app = App::start().await;
    for origin in [ALLOWED_ORIGIN, "null", "https://auth.example.test"] {
        let asked = preflight(&app, origin, "POST").await;
        asked.problem(405);
        let called = app.get(path::ME).header("origin", origin).answer().await;
        for answer in [asked, called] {
            assert!(cors_headers(&answer).is_empty(), "{answer:?}");
        }
    }
}

async fn open() -> App {
    let origins = "https://app.example.test, http://localhost:3000";
    App::setup().set("CORS_ALLOWED_ORIGINS", origins).start().await
}

#[tokio::test]
async fn the_configured_origins_are_allowed() {
    let app = open().await;
    for origin in [ALLOWED_ORIGIN, "http://localhost:3000"] {
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            let answer = preflight(&app, origin, method).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
            assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
            let methods = answer.header("access-control-allow-methods").unwrap();
            assert!(methods.split(',').any(|allowed| allowed == method), "{methods}");
            let headers = answer.header("access-control-allow-headers").unwrap();
            for needed in ["authorization", "content-type"] {
                assert!(headers.split(',').any(|allowed| allowed == needed), "{headers}");
            }
            assert!(answer.header("access-control-max-age").is_some());
        }
        // Problems too: a page that cannot read them cannot show its user what is wrong.
        let answer = app.get(path::ME).header("origin", origin).answer().await;
        answer.problem(401);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(exposed.split(',').any(|name| name == "x-request-id"), "{exposed}");
        assert!(answer.headers.get_all("vary").iter().any(|value| {
            value.to_str().unwrap().to_ascii_lowercase().split(',').any(|name| name.trim() == "origin")
        }));
    }
}

#[tokio::test]
async fn similar_origins_are_refused() {
    let app = open().await;
    for origin in [
        "https://app.example.test.evil.test",
        "https://app.example.test:8443",
        "http://app.example.test",
        "https://APP.example.test",
        "https://sub.app.example.test",
        "http://localhost",
        "null",
        "*",
    ] {
        for answer in
            [preflight(&app, origin, "POST").await, app.get(path::ME).header("origin", origin).answer().await]
        {
            assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
        }
    }
}

#[tokio::test]
async fn web_views_and_extensions_have_origins_too() {
    let origins = [
        "capacitor://localhost",
        "ionic://localhost",
        "tauri://localhost",
        "http://tauri.localhost",
        "https://tauri.localhost",
        "app://.",
        "app://bundle",
        "app://localhost:8080",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "http://localhost:5173",
        "http://127.0.0.1:8100",
        "http://[::1]:4200",
    ];
    let app = App::setup().set("CORS_ALLOWED_ORIGINS", &origins.join(", ")).start().await;
    for origin in origins {
        for answer in
            [preflight(&app, origin, "POST").await, app.get(path::ME).header("origin", origin).answer().await]
        {
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{answer:?}");
            assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        }
    }
    for origin in [
        "null",
        "capacitor://localhost:1",
        "ionic://other",
        "app://",
        "file://",
        "http://localhost",
        "localhost",
    ] {
        for answer in
            [preflight(&app, origin, "POST").await, app.get(path::ME).header("origin", origin).answer().await]
        {
            assert!(cors_headers(&answer).is_empty(), "{origin}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn any_header_may_be_sent_by_those_that_may_call() {
    let app = open().await;
    for asked in [
        "baggage,sentry-trace",
        "authorization, baggage, content-type, sentry-trace",
        "traceparent,tracestate,x-request-id,x-datadog-trace-id,x-b3-sampled,newrelic",
        "Content-Type,X-Requested-With,Cache-Control,Pragma,X-CSRF-Token,If-None-Match",
        "x",
    ] {
        let answer = preflight_for(&app, ALLOWED_ORIGIN, "POST", asked).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let allowed = answer.header("access-control-allow-headers").unwrap_or_default();
        for name in asked.split(',').map(|name| name.trim().to_ascii_lowercase()) {
            assert!(allowed.split(',').any(|allowed| allowed.trim() == name), "{name}: {allowed}");
        }
        assert_eq!(answer.header("access-control-max-age"), Some("7200"));
        for name in ["origin", "access-control-request-method", "access-control-request-headers"] {
            assert!(varies_by(&answer).contains(&name.to_owned()), "{:?}", varies_by(&answer));
        }
        let refused = preflight_for(&app, "https://evil.test", "POST", asked).await;
        assert!(cors_headers(&refused).is_empty(), "{refused:?}");
        assert!(varies_by(&refused).contains(&"origin".to_owned()));
    }
    // What is no name of a header is not repeated.
    let answer = preflight_for(&app, ALLOWED_ORIGIN, "POST", "a b,\"c\",*,d:e,good,,").await;
    assert_eq!(answer.header("access-control-allow-headers"), Some("*,good"));
    let many = vec!["x-long-name"; 600].join(",");
    let answer = preflight_for(&app, ALLOWED_ORIGIN, "POST", &many).await;
    assert!(answer.header("access-control-allow-headers").unwrap().len() < 1_000);
}

#[tokio::test]
async fn a_page_may_read_what_it_needs_to_react_to_an_error() {
    let app = open().await;
    for origin in [Some(ALLOWED_ORIGIN), Some("https://evil.test"), None] {
        let request = app.get(path::ME);
        let request = if let Some(origin) = origin { request.header("origin", origin) } else { request };
        let answer = request.answer().await;
        answer.problem(401);
        // A shared cache must not give one origin's answer to another.
        assert!(varies_by(&answer).contains(&"origin".to_owned()), "{answer:?}");
        let exposed = answer.header("access-control-expose-headers");
        assert_eq!(exposed.is_some(), origin == Some(ALLOWED_ORIGIN), "{answer:?}");
        for name in ["x-request-id", "retry-after", "www-authenticate", "location"] {
            assert!(
                exposed.is_none_or(|exposed| exposed.split(',').any(|other| other.trim() == name)),
                "{exposed:?}"
            );
        }
    }
}

#[tokio::test]
async fn options_without_a_preflight_is_a_method_like_any_other() {
    let app = open().await;
    app.server().request("OPTIONS", path::REFRESH).answer().await.problem(405);
    app.server()
        .request("OPTIONS", path::REFRESH)
        .header("origin", ALLOWED_ORIGIN)
        .answer()
        .await
        .problem(405);
}

#[tokio::test]
async fn forward_authentication_lets_no_preflight_pass() {
    let app = open().await;
    let (_, session) = app.new_session("proxied").await;
    for path in [path::VERIFY.to_owned(), format!("{}/", path::VERIFY), format!("{}/orders", path::VERIFY)] {
        let ask = || {
            let request = app.server().request("OPTIONS", &path).header("origin", ALLOWED_ORIGIN);
            request.header("access-control-request-method", "POST")
        };
        ask().answer().await.problem(401);
        let known = ask().bearer_auth(&session.access).answer().await;
        assert_eq!(known.status, 200, "{known:?}");
        assert!(known.header("x-auth-username").is_some());
    }
}

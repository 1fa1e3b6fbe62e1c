//! Cross-origin requests.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};

const ALLOWED_ORIGIN: &str = "https://app.example.test";

async fn preflight(app: &App, origin: &str, method: &str) -> Answer {
    let request = app.server().request("OPTIONS", path::REFRESH).header("origin", origin);
    let request = request.header("access-control-request-method", method);
    request.header("access-control-request-headers", "authorization,content-type").answer().await
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

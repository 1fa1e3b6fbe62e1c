//! What a request says of its body: compressed bodies, charsets, and spellings of the media type.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, User, path};
use reqwest::RequestBuilder;
use reqwest::header::HeaderValue;

const FORM: &str = "application/x-www-form-urlencoded";

async fn send(app: &App, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> Answer {
    app.post(path).header("content-type", kind).body(body.into()).answer().await
}

fn form_of(user: &User) -> String {
    format!("username={}&password={}", user.username, user.password.replace(' ', "+"))
}

fn parts_of(user: &User) -> String {
    let part = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    format!("{}{}--b--\r\n", part("username", &user.username), part("password", &user.password))
}

#[tokio::test]
async fn a_compressed_body_is_415_and_the_answer_says_what_is_read() {
    let app = App::start().await;
    let (user, session) = app.new_session("squeezed").await;
    let endpoints: [(&str, &str, String); 9] = [
        (path::LOGIN, FORM, form_of(&user)),
        (path::LOGIN, "multipart/form-data; boundary=b", parts_of(&user)),
        (path::TOKEN, FORM, form_of(&user)),
        (path::INTROSPECT, FORM, "token=x".to_owned()),
        (path::REVOKE, FORM, "token=x".to_owned()),
        (path::REFRESH, "application/json", format!("{{\"token\":\"{}\"}}", session.refresh)),
        (path::MY_PASSWORD, "application/json", "{}".to_owned()),
        (path::RESET, "application/json", "{}".to_owned()),
        ("/reset-password", FORM, "token=x".to_owned()),
    ];
    for (path, kind, body) in &endpoints {
        // The bytes are not what the header says: nothing may be guessed from them.
        for coding in
            ["gzip", "br", "deflate", "zstd", "x-gzip", "compress", "unknown", "GZIP", "identity, gzip"]
        {
            let token = if kind == &FORM { &app.superuser().await.access } else { &session.access };
            let request = app.post(path).bearer_auth(token).header("content-type", *kind);
            let answer = request.header("content-encoding", coding).body(body.clone()).answer().await;
            assert_eq!(answer.status, 415, "{path} {kind} {coding}: {answer:?}");
            assert_eq!(answer.header("accept-encoding"), Some("identity"), "{path} {coding}");
            assert!(answer.json()["detail"].as_str().unwrap().contains("compressed"), "{answer:?}");
        }
    }
    for coding in ["identity", "Identity", ""] {
        let login = |kind: &str, body: String| {
            app.post(path::LOGIN)
                .header("content-type", kind)
                .header("content-encoding", coding)
                .body(body)
                .answer()
        };
        login(FORM, form_of(&user)).await.ok(200);
        login("multipart/form-data; boundary=b", parts_of(&user)).await.ok(200);
    }
    let request = app.post(path::REFRESH).bearer_auth(&session.access).header("content-encoding", "identity");
    request.json(&serde_json::json!({ "token": session.refresh })).answer().await.ok(200);
    // Who is not known learns nothing of the body; a request without a body has no coding.
    app.post(path::USERS).header("content-encoding", "gzip").json(&1).answer().await.problem(401);
    app.get(path::ME).bearer_auth(&session.access).header("content-encoding", "gzip").answer().await.ok(200);
}

#[tokio::test]
async fn an_unsupported_type_is_answered_with_those_that_are_read() {
    let app = App::start().await;
    for (path, accepted) in [
        (path::LOGIN, "application/x-www-form-urlencoded, multipart/form-data"),
        (path::TOKEN, "application/x-www-form-urlencoded"),
        (path::RESET, "application/json"),
    ] {
        for kind in ["text/plain", "application/xml", "application/jsonp", "*/*", ""] {
            let answer = send(&app, path, kind, "x").await;
            answer.problem(415);
            assert_eq!(answer.header("accept"), Some(accepted));
        }
    }
    let twice =
        |request: RequestBuilder| request.header("content-type", FORM).header("content-type", "text/plain");
    twice(app.post(path::LOGIN)).body("username=a&password=b").answer().await.problem(415);
}

#[tokio::test]
async fn the_spelling_of_the_type_does_not_matter() {
    let app = App::start().await;
    let user = app.create_user("speller").await;
    for kind in [
        "application/x-www-form-urlencoded; charset=utf-8",
        "application/x-www-form-urlencoded;charset=UTF-8",
        "Application/X-WWW-Form-URLEncoded ; Charset=\"utf-8\"",
        "application/x-www-form-urlencoded;",
        "application/x-www-form-urlencoded; charset=ISO-8859-1",
        "application/x-www-form-urlencoded; charset=us-ascii",
    ] {
        send(&app, path::LOGIN, kind, form_of(&user)).await.ok(200);
        send(&app, path::TOKEN, kind, form_of(&user)).await.ok(200);
    }
    for kind in [
        "multipart/form-data; boundary=\"b\"",
        "Multipart/Form-Data; Boundary=b",
        "multipart/form-data; charset=utf-8; boundary=b",
        "multipart/form-data;boundary=b; charset=\"UTF-8\"",
    ] {
        send(&app, path::LOGIN, kind, parts_of(&user)).await.ok(200);
    }
    let session = app.log_in(&user).await;
    let patch = async |kind: HeaderValue, body: Vec<u8>| {
        let request = app.server().request("PATCH", path::ME).bearer_auth(&session.access);
        request.header("content-type", kind).body(body).answer().await
    };
    let name = "{\"name\":\"Zoë 李\"}".as_bytes();
    let with_mark = [b"\xef\xbb\xbf", name].concat();
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON;CHARSET=\"UTF-8\"",
        "application/json; charset=utf8; profile=x",
    ] {
        for body in [name.to_vec(), with_mark.clone()] {
            let answer = patch(HeaderValue::from_static(kind), body).await;
            assert_eq!(answer.ok(200)["name"], "Zoë 李", "{kind}");
        }
    }
    let ascii = HeaderValue::from_static("application/json; charset=iso-8859-1");
    patch(ascii, b"{\"name\":\"Zoe\"}".to_vec()).await.ok(200);
}

#[tokio::test]
async fn text_in_another_charset_is_never_misread() {
    let app = App::start().await;
    let user = app.create_user("latin").await;
    for charset in ["iso-8859-1", "windows-1252", "\"ISO-8859-15\""] {
        let kind = format!("{FORM}; charset={charset}");
        for password in ["p%E4ssword", "p%C3%A4ssword", "p\u{e4}ssword"] {
            let body = format!("username={}&password={password}", user.username);
            let answer = send(&app, path::LOGIN, &kind, body).await;
            answer.problem(415);
            assert_eq!(answer.header("accept"), Some("application/x-www-form-urlencoded;charset=utf-8"));
        }
    }
    for (kind, body) in [
        ("application/json; charset=iso-8859-1", &b"{\"token\":\"\xe4\",\"new_password\":\"x\"}"[..]),
        ("application/json; charset=utf-16", b"\xff\xfe{\0}\0"),
        ("application/json; charset=utf-16le", b"{\0}\0"),
        ("application/json; charset=nonsense", b"{}"),
    ] {
        send(&app, path::RESET, kind, body).await.problem(415);
    }
    // Without a charset such bytes are no JSON.
    send(&app, path::RESET, "application/json", &b"{\"token\":\"\xe4\"}"[..]).await.problem(400);
}

//! Invalid requests get a response and change nothing.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::wire::{self, Wire};

const FORM: &str = "application/x-www-form-urlencoded";

/// A POST request with any bytes as its body.
fn post(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn status(app: &App, request: &[u8]) -> u16 {
    let answer = wire::exchange(app.server().authority(), request).await;
    wire::status(&answer).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

#[tokio::test]
async fn a_malformed_form_is_refused() {
    let app = App::start().await;
    for (fault, body) in [
        ("not UTF-8", &b"username=\xff\xfe&password=x"[..]),
        ("an escape that is not UTF-8", b"username=%ff%fe&password=x"),
    ] {
        let found = status(&app, &post(path::LOGIN, FORM, body)).await;
        // Bytes that are not text cannot be the name of a user either: both responses are correct.
        assert!([400, 401, 422].contains(&found), "{fault}: {found}");
    }
    for body in [&b"--x\r\n"[..], b"", b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n"] {
        let found = status(&app, &post(path::LOGIN, "multipart/form-data; boundary=x", body)).await;
        assert!([400, 422].contains(&found), "{body:?}: {found}");
    }
    assert_eq!(status(&app, &post(path::LOGIN, "multipart/form-data", b"--x--")).await, 400);
}

#[tokio::test]
async fn a_duplicate_field_is_refused() {
    let app = App::start().await;
    let found = status(&app, &post(path::LOGIN, FORM, b"username=a&username=b&password=x")).await;
    assert!([400, 422].contains(&found), "{found}");
}

#[tokio::test]
async fn a_zero_byte_is_refused() {
    let app = App::start().await;
    for (name, password) in [("a\u{0}b", "x"), ("root.admin", "x\u{0}y"), ("a\u{0}@example.test", "x")] {
        let answer = app.post_login(name, password).await;
        assert!([401, 422].contains(&answer.status), "{answer:?}");
        answer.problem(answer.status);
    }
}

#[tokio::test]
async fn a_long_name_or_password_is_refused() {
    let app = App::start().await;
    let long = "x".repeat(20_000);
    for (name, password) in [(long.as_str(), "x"), ("root.admin", long.as_str())] {
        let answer = app.post_login(name, password).await;
        assert!([401, 413, 422].contains(&answer.status), "{}", answer.status);
    }
}

#[tokio::test]
async fn a_malformed_header_is_refused() {
    let app = App::start().await;
    let get = |headers: &str| {
        format!("GET {} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n", path::ME)
            .into_bytes()
    };
    for headers in [
        "Authorization:\r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Bearer a b\r\n",
        "Authorization: \u{fc}\r\n",
        "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
        "Cookie: =;=;;;\r\n",
    ] {
        let found = status(&app, &get(headers)).await;
        assert!([400, 401].contains(&found), "{headers:?}: {found}");
    }
    assert_eq!(status(&app, &get("no colon\r\n")).await, 400);
    let long = format!("Authorization: Bearer {}\r\n", "a".repeat(15_000));
    assert!([401, 431].contains(&status(&app, &get(&long)).await));
    let endless = format!("X-Long: {}\r\n", "a".repeat(1_000_000));
    assert_eq!(status(&app, &get(&endless)).await, 431);
}

#[tokio::test]
async fn deeply_nested_json_is_refused() {
    let app = App::start().await;
    let access = &app.superuser().await.access;
    for body in ["[".repeat(50_000), format!("{{\"token\":{}", "[".repeat(50_000))] {
        let request = app.post(path::REFRESH).bearer_auth(access).header("content-type", "application/json");
        let answer = request.body(body).answer().await;
        assert!([400, 422].contains(&answer.status), "{answer:?}");
        answer.problem(answer.status);
    }
}

#[tokio::test]
async fn the_server_survives_clients_that_disconnect_during_a_request() {
    let app = App::start().await;
    let mut half = post(path::LOGIN, FORM, b"username=root.admin&password=x");
    half.truncate(half.len() - 5);
    for _ in 0..20 {
        let mut wire = Wire::connect(app.server().authority()).await;
        wire.send(&half).await;
        drop(wire);
    }
    app.superuser().await;
}

#[tokio::test]
async fn sql_in_a_value_is_not_executed() {
    let app = App::start().await;
    let (user, session) = app.new_session("careful").await;
    for text in ["' OR '1'='1", "root.admin' --", "'; DROP TABLE users; --", "%' OR 1=1"] {
        app.post_login(text, text).await.problem(401);
        app.me(text).await;
    }
    app.me(&session.access).await.ok(200);
    app.log_in(&user).await;
}

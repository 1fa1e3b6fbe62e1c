//! Headers are bytes: one that is not ASCII does not hide the rest of its value.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use reqwest::header::HeaderValue;
use serde_json::json;

fn bytes(value: impl AsRef<[u8]>) -> HeaderValue {
    HeaderValue::from_bytes(value.as_ref()).unwrap()
}

#[tokio::test]
async fn limits_and_the_audit_use_the_address_that_the_trusted_proxy_added() {
    let app = App::setup()
        .set("TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")
        .set("RATE_LIMIT_PER_NETWORK", "30")
        .start()
        .await;
    let mut refused = false;
    for number in 0..40 {
        let forged = bytes([&[0x80 + number][..], b", \"", &[0xff], b", 192.0.2.7:4711, 10.0.0.9"].concat());
        let name = format!("sprayed-{number}");
        let form = [("username", name.as_str()), ("password", "not the password")];
        let answer = app.post(path::LOGIN).header("x-forwarded-for", forged).form(&form).answer().await;
        refused |= answer.status == 429;
    }
    assert!(refused, "the forged addresses evaded the limit");
    let rows =
        "SELECT string_agg(DISTINCT address, ' ') FROM audit_events WHERE kind = $1 AND outcome = 'refused'";
    assert_eq!(app.database.text(rows, "login").await, "192.0.2.7");

    // An unreadable entry is replaced by the address of the proxy that wrote it.
    let form = [("username", "unreadable"), ("password", "not the password")];
    let unreadable = bytes(b"198.51.100.1, 192.0.2.\xb9, 10.0.0.9");
    app.post(path::LOGIN).header("x-forwarded-for", unreadable).form(&form).answer().await.problem(401);
    let rows = "SELECT address FROM audit_events WHERE kind = $1 ORDER BY id DESC LIMIT 1";
    assert_eq!(app.database.text(rows, "login").await, "10.0.0.9");
}

#[tokio::test]
async fn a_cookie_of_another_application_that_is_not_ascii_does_not_hide_the_access_token() {
    let app = App::start().await;
    let (user, session) = app.new_session("zoe").await;
    for (before, after) in
        [("city=Zürich; ".as_bytes(), &b""[..]), (b"", b"; city=Z\xfcrich"), (b"\xff\xfe; ", b"; x=\xc3")]
    {
        let cookie = [before, b"access_token=", session.access.as_bytes(), after].concat();
        let answer = app.get(path::VERIFY).header("cookie", bytes(&cookie)).answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("x-auth-username"), Some(user.username.as_str()));
    }
    // HTTP/2 splits cookies into several headers.
    let ours = format!("access_token=\"{}\"", session.access);
    let request = app.get(path::VERIFY).header("cookie", bytes("city=Zürich")).header("cookie", ours);
    assert_eq!(request.answer().await.status, 200);

    // A second cookie of the same name, which a sibling domain can set, makes the request unauthenticated.
    for forged in [&b"access_token=\xff"[..], b"access_token=forged", b"access_token=\"forged\""] {
        let ours = [b"access_token=", session.access.as_bytes()].concat();
        for cookie in [[forged, b"; ", &ours].concat(), [&ours[..], b"; ", forged].concat()] {
            app.get(path::VERIFY).header("cookie", bytes(&cookie)).answer().await.problem(401);
        }
    }
}

#[tokio::test]
async fn a_known_device_is_recognized_among_other_cookies() {
    let app = App::setup().set("RATE_LIMIT_PER_ACCOUNT", "6").start().await;
    let user = app.create_user("dana").await;
    let cookie =
        app.post_login(&user.username, &user.password).await.cookie_named("latchkey_device").unwrap();
    let mut refused = false;
    for _ in 0..10 {
        refused |= app.post_login(&user.username, "not the password").await.status == 429;
    }
    assert!(refused);
    let cookies = ["city=Zürich; ", &cookie[0]].concat();
    let form = [("username", &user.username), ("password", &user.password)];
    app.post(path::LOGIN).header("cookie", bytes(cookies)).form(&form).answer().await.ok(200);
}

#[tokio::test]
async fn a_header_that_is_not_ascii_does_not_fail_the_request() {
    let app = App::start().await;
    let user = app.create_user("ulla").await;
    let form = [("username", &user.username), ("password", &user.password)];
    // One invalid byte does not hide the client from the audit.
    let agent = bytes(b"Rob\xf6t/1.0 (gr\xc3\xbcn)");
    app.post(path::LOGIN).header("user-agent", agent).form(&form).answer().await.ok(200);
    let rows = "SELECT user_agent FROM audit_events WHERE kind = $1 AND user_agent IS NOT NULL ORDER BY id DESC LIMIT 1";
    assert_eq!(app.database.text(rows, "login").await, "Rob\u{fffd}t/1.0 (grün)");

    let body = json!({ "username": "vera", "email": "vera@example.test", "name": "Vera", "password": "correct horse 12" });
    let answer = app
        .post(path::USERS)
        .bearer_auth(&app.superuser().await.access)
        .header("content-type", bytes("application/json; name=\"grün\""))
        .body(body.to_string())
        .answer()
        .await;
    answer.ok(201);

    // A header that must be text is refused or ignored if it is not.
    for (name, expected) in
        [("authorization", 401), ("x-request-id", 401), ("traceparent", 401), ("origin", 401)]
    {
        let answer = app.get(path::ME).header(name, bytes(b"Bearer \xff")).answer().await;
        answer.problem(expected);
    }
}

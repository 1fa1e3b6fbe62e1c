//! Arbitrary bytes in any part of a request: never a 5xx, never a panic, never success.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::forged_tokens::Forged;
use latchkey_tests::wire;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

const CLIENT_SECRET: &str = "NeverLogged-0123456789abcdef-0123456789abcdef";

/// Checks a property with one running app.
fn check<S: Strategy>(cases: u32, inputs: &S, property: &impl AsyncFn(&App, S::Value)) {
    let runtime = Runtime::new().unwrap();
    let (id, secret) = (("INTROSPECTION_CLIENT_ID", "api"), ("INTROSPECTION_CLIENT_SECRET", CLIENT_SECRET));
    let setup = App::setup().set("TRUSTED_PROXIES", "127.0.0.0/8").set(id.0, id.1).set(secret.0, secret.1);
    let app = runtime.block_on(setup.start());
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(inputs, |input| {
        runtime.block_on(property(&app, input));
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    // The server still works afterwards.
    runtime.block_on(async { app.superuser().await });
    runtime.block_on(async { drop(app) });
}

fn percent_encoded(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| format!("%{byte:02X}").into_bytes()).map(char::from).collect()
}

fn assert_refused(status: Option<u16>, answer: &str) {
    let status = status.unwrap_or_else(|| panic!("no answer: {answer:?}"));
    assert!((400..500).contains(&status), "{answer}");
}

async fn send(app: &App, head: &str, body: &[u8]) -> String {
    let head =
        format!("{head}Host: localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    wire::exchange(app.server().authority(), &[head.as_bytes(), body].concat()).await
}

/// Bytes that are often almost valid.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "[ -~]{0,200}".prop_map(String::into_bytes),
        "(username|password|token|grant_type|%[0-9a-f]{0,2}|=|&|\\+|\\PC){0,12}".prop_map(String::into_bytes),
        "(\\{|\\}|\\[|\\]|\"token\"|\"new_password\"|:|,|\"\\PC{0,8}\"|null|1e999|-0){0,12}"
            .prop_map(String::into_bytes),
        "(--b|--b--|\r\n|Content-Disposition: form-data; |name=\"(username|password)?\"|filename=\"a\"|\
          Content-Type: \\PC{0,6}|\\PC{0,6}|;|\"){0,16}"
            .prop_map(String::into_bytes),
    ]
}

#[test]
fn any_body_at_any_endpoint_is_refused() {
    let paths = [
        path::LOGIN,
        path::TOKEN,
        path::RESET,
        path::REFRESH,
        path::LOGOUT,
        path::USERS,
        path::REGISTER,
        path::VERIFY_EMAIL,
        path::CONFIRM_EMAIL,
        path::MY_PASSWORD,
        path::INTROSPECT,
        path::REVOKE,
    ];
    let kinds = [
        "application/x-www-form-urlencoded",
        "application/json",
        "multipart/form-data; boundary=b",
        "text/plain",
        "application/json; charset=\"",
        "",
    ];
    let inputs = (prop::sample::select(paths.to_vec()), prop::sample::select(kinds.to_vec()), bytes());
    check(300, &inputs, &async |app, (path, kind, body)| {
        let answer = send(app, &format!("POST {path} HTTP/1.1\r\nContent-Type: {kind}\r\n"), &body).await;
        assert_refused(wire::status(&answer), &answer);
    });
}

#[test]
fn any_body_of_an_authenticated_client_is_refused() {
    let inputs = (prop::sample::select(vec![path::REFRESH, path::USERS, path::MY_PASSWORD]), bytes());
    check(150, &inputs, &async |app, (path, body)| {
        let access = &app.superuser().await.access;
        let request = app.post(path).bearer_auth(access).header("content-type", "application/json");
        let answer = request.body(body).answer().await;
        assert!((400..500).contains(&answer.status), "{answer:?}");
        answer.problem(answer.status);
    });
}

#[test]
fn any_header_is_refused() {
    let value = prop::collection::vec(prop_oneof![0x20..=0x7e_u8, 0x80..=0xff_u8, Just(b'\t')], 0..120);
    let names = [
        "Authorization: ",
        "Authorization: Bearer ",
        "Authorization: Basic ",
        "Cookie: ",
        "Cookie: access_token=",
        "Cookie: refresh_token=",
        "X-Request-Id: ",
        "X-Forwarded-For: ",
        "X-Forwarded-For: 192.0.2.1, ",
        "User-Agent: ",
        "Content-Type: ",
        "Accept: ",
        "Traceparent: ",
        "Origin: ",
    ];
    let lines = [
        "GET /api/v1/auth/me HTTP/1.1\r\n",
        "GET /api/v1/auth/verify HTTP/1.1\r\n",
        "PATCH /api/v1/auth/verify/a HTTP/1.1\r\n",
        "POST /api/v1/auth/introspect HTTP/1.1\r\nContent-Length: 0\r\n",
    ];
    let inputs = (prop::sample::select(lines.to_vec()), prop::sample::select(names.to_vec()), value);
    check(400, &inputs, &async |app, (line, name, value)| {
        let head = [line.as_bytes(), name.as_bytes(), &value, b"\r\nHost: localhost\r\n"].concat();
        let request = [&head[..], b"Connection: close\r\n\r\n"].concat();
        let answer = wire::exchange(app.server().authority(), &request).await;
        assert_refused(wire::status(&answer), &answer);
    });
}

#[test]
fn any_token_is_refused() {
    let part = || {
        prop_oneof![
            "[A-Za-z0-9_-]{0,60}",
            Just("eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9".to_owned()),
            Just("e30".to_owned()),
        ]
    };
    let tokens = prop_oneof![
        (part(), part(), part()).prop_map(|(a, b, c)| format!("{a}.{b}.{c}")),
        "[!-~]{0,80}",
        prop::collection::vec(part(), 0..6).prop_map(|parts| parts.join(".")),
    ];
    check(200, &tokens, &async |app, token| {
        let me = app.get(path::ME).bearer_auth(&token).answer().await;
        assert!([400, 401].contains(&me.status), "{me:?}");
        me.problem(me.status);
        let access = &app.superuser().await.access;
        let body = serde_json::json!({ "token": token });
        let refresh = app.post(path::REFRESH).bearer_auth(access).json(&body).answer().await;
        assert!([401, 422].contains(&refresh.status), "{refresh:?}");
        refresh.problem(refresh.status);
    });
}

#[test]
fn any_bytes_as_a_token_are_inactive() {
    check(150, &bytes(), &async |app, token| {
        let encoded = percent_encoded(&token);
        for path in [path::INTROSPECT, path::REVOKE] {
            let request = app.post(path).basic_auth("api", Some(CLIENT_SECRET));
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            let answer = request.body(format!("token={encoded}")).answer().await;
            assert!([200, 400, 422].contains(&answer.status), "{answer:?}");
            assert!(!answer.body.contains("true"), "{answer:?}");
        }
    });
}

#[test]
fn any_basic_credentials_are_refused() {
    let credentials = prop_oneof![bytes(), "(api|:|%[0-9a-f]{0,2}|\\PC){0,6}".prop_map(String::into_bytes)];
    check(150, &credentials, &async |app, credentials| {
        let header = format!("Basic {}", STANDARD.encode(credentials));
        let request = app.post(path::REVOKE).header("authorization", header);
        request.form(&[("token", "x")]).answer().await.problem(401);
    });
}

#[test]
fn any_claims_without_a_signature_are_refused() {
    let json = prop_oneof![
        any::<i64>().prop_map(serde_json::Value::from),
        "\\PC{0,20}".prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
        Just(serde_json::json!([])),
        Just(serde_json::json!({ "a": 1 })),
    ];
    let names = ["iss", "sub", "aud", "iat", "nbf", "exp", "jti", "sid", "alg", "typ", "kid"];
    let changes = prop::collection::vec((prop::sample::select(names.to_vec()), json), 1..6);
    check(150, &changes, &async |app, changes| {
        let mut forged = Forged::from_token(&app.superuser().await.access);
        for (name, value) in changes {
            forged = if ["alg", "typ", "kid"].contains(&name) {
                forged.header(name, value)
            } else {
                forged.claim(name, value)
            };
        }
        app.me(&forged.unsigned()).await.problem(401);
    });
}

#[test]
fn any_path_gets_no_5xx() {
    check(200, &"(/|api|v1|auth|\\.\\.|%[0-9A-F]{2}|[!-\"$-~]){0,20}", &async |app, rest| {
        let request = format!("GET /{rest} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = wire::exchange(app.server().authority(), request.as_bytes()).await;
        let status = wire::status(&answer).unwrap_or_else(|| panic!("no answer: {answer:?}"));
        assert!(status < 500, "{answer}");
    });
}

#[test]
fn any_name_and_password_are_refused() {
    check(40, &("\\PC{0,40}", "\\PC{0,40}"), &async |app, (name, password)| {
        let answer = app.post_login(&name, &password).await;
        assert!([401, 422].contains(&answer.status), "{answer:?}");
        answer.problem(answer.status);
    });
}

#[test]
fn any_address_for_recovery_is_refused() {
    check(60, &"\\PC{0,40}", &async |app, address| {
        let encoded = percent_encoded(address.as_bytes());
        let answer = app.post(&format!("{}/{encoded}", path::RECOVERY)).answer().await;
        assert!([404, 405, 422, 503].contains(&answer.status), "{answer:?}");
        answer.problem(answer.status);
    });
}

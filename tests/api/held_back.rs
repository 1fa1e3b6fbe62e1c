//! Bodies that the client holds back: a request is authenticated when its whole body has arrived, and has a deadline.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, Session, User, path};
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::smtp::Smtp;
use latchkey_tests::wire::{self, Wire};
use serde_json::{Value, json};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
/// The deadline of a body.
const DEADLINE: Duration = Duration::from_secs(10);
/// The additional time that a busy machine may need.
const SLACK: Duration = Duration::from_secs(10);

/// A request whose body is not sent yet.
struct HeldBack {
    wire: Wire,
    body: String,
}

impl HeldBack {
    /// Sends the head and waits until the server reads the body.
    async fn begin(
        app: &App,
        (method, path): (&str, &str),
        access: &str,
        (media, body): (&str, String),
    ) -> Self {
        let mut wire = Wire::connect(app.server().authority()).await;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {access}\r\n\
             Content-Type: {media}\r\nContent-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
            body.len()
        );
        wire.send(head.as_bytes()).await;
        wire.continued().await;
        Self { wire, body }
    }

    /// Sends the body, and returns the status and the complete response.
    async fn complete(mut self) -> (u16, String) {
        self.wire.send(self.body.as_bytes()).await;
        let answer = self.wire.answer().await;
        (wire::status(&answer).unwrap_or_else(|| panic!("no answer: {answer:?}")), answer)
    }
}

/// Creates a superuser and logs in.
async fn new_superuser(app: &App, name: &str) -> (User, Session) {
    let (user, session) = app.new_session(name).await;
    let key = user.id.to_string();
    app.database.execute_for("UPDATE users SET is_superuser = true WHERE id::text = $1", &key).await;
    (user, session)
}

/// Everything that a request could change, except the sessions of the user who logs out.
async fn state(app: &App, out: &User) -> String {
    let sql = "SELECT concat_ws(' | ',
                   (SELECT string_agg(users::text, ',' ORDER BY id) FROM users),
                   (SELECT string_agg(concat_ws(' ', id, ended_at, last_used_at), ',' ORDER BY id) FROM sessions
                    WHERE user_id::text <> $1),
                   (SELECT count(*) FROM audit_events WHERE kind NOT IN ('login', 'logout')),
                   (SELECT count(*) FROM outbox), (SELECT count(*) FROM one_time_tokens),
                   (SELECT count(*) FROM refresh_tokens WHERE rotated_at IS NOT NULL))";
    app.database.text(sql, &out.id.to_string()).await
}

#[tokio::test]
async fn a_body_that_arrives_after_the_logout_creates_no_superuser() {
    let app = App::setup().replicas(2).start().await;
    let (_, session) = new_superuser(&app, "chief").await;
    let body = json!({
        "username": "backdoor", "email": "backdoor@example.test", "name": "Back Door", "is_superuser": true,
        "password": format!("{SECRET_MARK} of the back door"),
    });
    let request =
        HeldBack::begin(&app, ("POST", path::USERS), &session.access, (JSON, body.to_string())).await;

    app.log_out_at(1, &session).await.ok(200);
    let (status, answer) = request.complete().await;

    assert_eq!(status, 401, "{answer}");
    let made = "SELECT count(*) FROM users WHERE username = $1";
    assert_eq!(app.database.count(made, "backdoor").await, 0);
}

/// A valid body for each endpoint, by method and path.
fn bodies(caller: (&User, &Session), other: &Session) -> BTreeMap<(&'static str, &'static str), String> {
    let (user, session) = caller;
    let new = format!("{SECRET_MARK} quite another one");
    let new_account = json!({ "username": "made", "email": "made@example.test", "name": "Made" });
    BTreeMap::from([
        (("post", path::REFRESH), json!({ "token": session.refresh }).to_string()),
        (("post", path::INTROSPECT), format!("token={}", other.access)),
        (("post", path::REVOKE), format!("token={}", other.access)),
        (("patch", path::ME), json!({ "name": "Changed" }).to_string()),
        (("delete", path::ME), json!({ "password": user.password }).to_string()),
        (
            ("post", path::MY_PASSWORD),
            json!({ "current_password": user.password, "new_password": new }).to_string(),
        ),
        (
            ("post", path::MY_EMAIL),
            json!({ "password": user.password, "email": "new@example.test" }).to_string(),
        ),
        (("post", path::USERS), new_account.to_string()),
        (("patch", "/api/v1/users/{id}"), json!({ "is_superuser": true, "name": "Changed" }).to_string()),
        (("post", path::GROUPS), json!({ "name": "made", "permissions": ["users.write"] }).to_string()),
        (("patch", "/api/v1/groups/{name}"), json!({ "permissions": ["users.write"] }).to_string()),
    ])
}

/// The operations with a body and bearer authentication, and the media type of the body.
async fn operations(app: &App) -> Vec<(String, String, String)> {
    let document = app.get("/openapi.json").answer().await.json();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let security = operation["security"].as_array().into_iter().flatten();
            let accepts_bearer = security.filter_map(Value::as_object).any(|one| one.contains_key("bearer"));
            let media = operation["requestBody"]["content"].as_object().and_then(|media| media.keys().next());
            if let Some(media) = media.filter(|_| accepts_bearer) {
                found.push((method.clone(), path.clone(), media.clone()));
            }
        }
    }
    assert!(found.len() >= 11, "{found:?}");
    found
}

#[tokio::test]
async fn every_endpoint_refuses_a_body_that_arrives_after_the_logout() {
    let app = App::setup()
        .replicas(2)
        .mail(Smtp::Plain)
        .set("ACCOUNT_DELETION_ENABLED", "true")
        .set("RATE_LIMITS_ENABLED", "false")
        .start()
        .await;
    let (user, _) = new_superuser(&app, "chief").await;
    let (target, other) = app.new_session("target").await;
    for (method, path, media) in operations(&app).await {
        let session = app.log_in(&user).await;
        let bodies = bodies((&user, &session), &other);
        let body = bodies.get(&(method.as_str(), path.as_str()));
        let body = body.unwrap_or_else(|| panic!("this test needs a body for {method} {path}"));
        let place = path.replace("{id}", &target.id.to_string()).replace("{name}", "any");
        let request = (media.as_str(), body.clone());
        let request = HeldBack::begin(&app, (&method.to_uppercase(), &place), &session.access, request).await;
        let before = state(&app, &user).await;

        app.log_out_at(1, &session).await.ok(200);
        let (status, answer) = request.complete().await;

        assert_eq!(status, 401, "{method} {path}: {answer}");
        assert_eq!(state(&app, &user).await, before, "{method} {path}");
        app.me(&other.access).await.ok(200);
    }
}

#[tokio::test]
async fn a_request_with_expect_100_continue_is_served() {
    let app = App::start().await;
    let access = &app.superuser().await.access;
    let name = "x".repeat(60_000);
    let body = json!({ "username": "big", "email": "big@example.test", "name": name }).to_string();
    let request = HeldBack::begin(&app, ("POST", path::USERS), access, (JSON, body)).await;
    let (status, answer) = request.complete().await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer.contains("must have 1 to 200 characters"), "{answer}");
}

/// The head of a request whose body is longer than the bytes that are sent.
fn head(path: &str, media: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media}\r\nContent-Length: 1000\r\n\r\n"
    )
}

#[tokio::test]
async fn an_incomplete_body_gets_408() {
    let app = App::start().await;
    let multipart = "multipart/form-data; boundary=x";
    let part = "--x\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\n";
    let stalled = [
        (path::LOGIN, FORM, "username="),
        (path::LOGIN, multipart, part),
        (path::TOKEN, FORM, ""),
        (path::REVOKE, FORM, "token="),
        (path::USERS, JSON, "{"),
        (path::LOGOUT, JSON, ""),
        ("/reset-password", FORM, "token="),
    ];
    let begun = Instant::now();
    let still = stalled.iter().map(async |(path, media, start)| {
        let mut wire = Wire::connect(app.server().authority()).await;
        wire.send(format!("{}{start}", head(path, media)).as_bytes()).await;
        wire.answer_within(DEADLINE + SLACK).await
    });
    // The deadline applies to the whole body, not to each part of it.
    let trickling = stalled.iter().map(async |(path, media, start)| {
        let mut wire = Wire::connect(app.server().authority()).await;
        wire.send(format!("{}{start}", head(path, media)).as_bytes()).await;
        wire.trickle(b'a', Duration::from_millis(300), DEADLINE + SLACK).await
    });
    let (still, trickling) = tokio::join!(join_all(still), join_all(trickling));

    assert!(begun.elapsed() >= DEADLINE, "{:?}", begun.elapsed());
    for ((path, _, _), answer) in stalled.iter().zip(still).chain(stalled.iter().zip(trickling)) {
        assert_eq!(wire::status(&answer), Some(408), "{path}: {answer}");
        let lower = answer.to_lowercase();
        assert!(lower.contains("\r\nconnection: close\r\n"), "{path}: {answer}");
        assert!(lower.contains("\r\nx-request-id: "), "{path}: {answer}");
        let is_oauth = [path::TOKEN, path::REVOKE].contains(path);
        let media_type = if is_oauth { "application/json" } else { "application/problem+json" };
        assert!(lower.contains(&format!("\r\ncontent-type: {media_type}\r\n")), "{path}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let problem: Value = serde_json::from_str(body).expect(body);
        assert_eq!(problem["status"], 408, "{problem}");
        assert_eq!(problem["error"] == "invalid_request", is_oauth, "{path}: {problem}");
    }
    app.server().wait_for_log("\"status\":408").await;
    let counted = app.server().metric("latchkey_http_requests_total", &["status=\"4xx\""]).await;
    assert!(counted >= 14.0, "{counted}");
}

#[tokio::test]
async fn forward_authentication_does_not_wait_for_a_body() {
    let app = App::start().await;
    let access = &app.superuser().await.access;
    for below in ["", "/", "/orders/7"] {
        let request = format!(
            "POST {}{below} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {access}\r\n\
             Content-Length: 1000\r\n\r\n",
            path::VERIFY
        );
        let request = if below.is_empty() { request.replace("POST", "GET") } else { request };
        let mut wire = Wire::connect(app.server().authority()).await;
        let begun = Instant::now();
        wire.send(request.as_bytes()).await;
        let answer = wire.answer_within(DEADLINE / 2).await;
        assert_eq!(wire::status(&answer), Some(200), "{below}: {answer} after {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_chunked_body_is_read_and_bounded() {
    let app = App::start().await;
    let access = app.superuser().await.access.clone();
    let send = async |bearer: &str, pieces: usize| {
        let piece = "x".repeat(10_000);
        let mut request = format!(
            "POST {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bearer}\r\nContent-Type: {JSON}\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nd\r\n{{\"username\":\"\r\n",
            path::USERS
        );
        for _ in 0..pieces {
            request += &[&format!("{:x}\r\n", piece.len()), piece.as_str(), "\r\n"].concat();
        }
        request.push_str("2\r\n\"}\r\n0\r\n\r\n");
        let answer = wire::exchange(app.server().authority(), request.as_bytes()).await;
        wire::status(&answer).unwrap_or_else(|| panic!("no answer: {answer:?}"))
    };
    assert_eq!(send(&access, 1).await, 422);
    assert_eq!(send(&access, 20).await, 413);
    // Authentication fails before the body is validated.
    assert_eq!(send("nonsense", 20).await, 401);
}

#[tokio::test]
async fn an_oauth_endpoint_reports_a_large_body_as_an_invalid_request() {
    let app = App::start().await;
    for path in [path::TOKEN, path::INTROSPECT, path::REVOKE] {
        let answer = app.post(path).form(&[("token", "x".repeat(100_000))]).answer().await;
        assert_eq!(answer.problem(413)["error"], "invalid_request", "{path}");
    }
}

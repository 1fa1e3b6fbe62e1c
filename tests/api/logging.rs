//! The log lines of a request, which never contain a secret, not even at the level `trace`.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::collector::Collector;
use latchkey_tests::server::parsed;
use latchkey_tests::smtp::Smtp;
use latchkey_tests::wait;
use serde_json::{Value, json};

#[tokio::test]
async fn every_line_is_a_json_object_with_time_level_and_message() {
    let app = App::start().await;
    app.superuser().await;
    let log = app.server().log();
    assert!(!log.is_empty());
    assert_eq!(parsed(&log).count(), log.len(), "{log:?}");
    for line in parsed(&log) {
        let time = line["timestamp"].as_str().unwrap_or_default();
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{line}");
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn a_request_is_logged_with_its_id_route_status_and_duration() {
    let app = App::start().await;
    app.get(path::ME).header("x-request-id", "find-me").answer().await.problem(401);
    let line = app.server().wait_for_log("find-me").await;
    for part in ["GET", path::ME, "401"] {
        assert!(line.contains(part), "{part} is missing: {line}");
    }
}

#[tokio::test]
async fn no_secret_is_logged_at_the_level_trace() {
    // Dropping a server asserts, in every test, that its log contains no password and no token.
    let app = App::setup().mail(Smtp::StartTls).set("LOG_LEVEL", "trace").start().await;
    let (user, session) = app.new_session("traced").await;
    app.post_login(&user.username, "NeverLogged wrong one").await.problem(401);
    app.refresh(&session).await.ok(200);
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let link = app.mail().wait_for(&user.email, 1).await[0].link();
    let (_, token) = link.query_pairs().find(|(name, _)| name == "token").unwrap();
    app.get(&format!("{}?{}", link.path(), link.query().unwrap())).answer().await;
    let body = json!({ "token": token, "new_password": "NeverLogged but new" });
    app.post(path::RESET).json(&body).header("x-request-id", "the-last").answer().await.ok(200);

    app.server().wait_for_log("the-last").await;
    let log = app.server().log();
    assert!(!log.is_empty());
    for line in log {
        assert!(!line.contains(token.as_ref()), "the reset token is logged: {line}");
    }
}

/// sqlx asks at each query whether anyone wants to know of it. The answer must not change what is logged next.
#[tokio::test]
async fn every_request_and_audit_event_is_logged_at_every_level_and_with_traces() {
    let collector = Collector::start().await;
    let endpoint = collector.endpoint();
    for (name, value) in [
        ("LOG_LEVEL", "info"),
        ("LOG_LEVEL", "debug"),
        ("LOG_LEVEL", "trace"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
    ] {
        let app = App::setup().set(name, value).start().await;
        let user = app.create_user("logged").await;
        let ids: Vec<_> = (0..20).map(|number| format!("request-{number}")).collect();
        for id in &ids {
            let form = [("username", &*user.username), ("password", &*user.password)];
            app.post(path::LOGIN).form(&form).header("x-request-id", id).answer().await.ok(200);
        }
        wait::until(&format!("two lines for each login with {name}={value}"), || async {
            let log = app.server().log();
            let is_of = |line: &Value, id: &str| line["span"]["request_id"] == *id;
            let missing: Vec<_> = ids
                .iter()
                .filter(|id| {
                    let count = |message| {
                        parsed(&log).filter(|line| is_of(line, id) && line["message"] == message).count()
                    };
                    (count("answered"), count("audit")) != (1, 1)
                })
                .collect();
            wait::check(missing.is_empty(), format!("{missing:?}"))
        })
        .await;
    }
}

#[tokio::test]
async fn a_line_break_in_a_name_does_not_forge_a_log_line() {
    let app = App::start().await;
    let forged = "x\n{\"level\":\"ERROR\",\"message\":\"forged\"}";
    app.post_login(forged, "not the password").await;
    let request = app.get("/nowhere%0a%7B%22message%22:%22forged%22%7D").header("x-request-id", "last-one");
    request.answer().await.problem(404);
    app.server().wait_for_log("last-one").await;
    assert!(parsed(&app.server().log()).all(|line| line["message"] != "forged"));
}

#[tokio::test]
async fn the_text_format_is_not_json() {
    // A command, because the address of a server is read from its JSON log.
    let app = App::start().await;
    let mut variables = app.variables.clone();
    variables.insert("LOG_FORMAT".to_owned(), "text".to_owned());
    variables.insert("DATABASE_URL".to_owned(), "postgres://127.0.0.1:1/none".to_owned());
    let output = latchkey_tests::server::run_command(&["check"], &variables);
    assert!(!output.status.success());
    assert!(!String::from_utf8_lossy(&output.stderr).trim_start().starts_with('{'));
}

#[tokio::test]
async fn an_audit_event_is_also_logged_and_counted() {
    let app = App::start().await;
    let (user, session) = app.new_session("audited").await;
    let wrong = [("username", user.username.as_str()), ("password", "NeverLogged wrong one")];
    app.post(path::LOGIN).form(&wrong).header("x-request-id", "wrong-one").answer().await.problem(401);
    let denied = app.post(path::USERS).bearer_auth(&session.access).header("x-request-id", "denied-one");
    denied.json(&json!({})).answer().await.problem(403);

    let line = async |id: &str| -> Value {
        let log = app.server().wait_for_log(id).await;
        let all = app.server().log();
        let found = parsed(&all).find(|line| line["message"] == "audit" && line["span"]["request_id"] == id);
        found.unwrap_or_else(|| panic!("no audit line of {id}: {log}"))
    };
    let refused = line("wrong-one").await;
    assert_eq!((&refused["audit"], &refused["outcome"]), (&json!("login"), &json!("refused")));
    assert_eq!((&refused["user_id"], &refused["address"]), (&json!(user.id), &json!("127.0.0.1")));
    assert_eq!(refused["detail"], r#"{"reason":"wrong_credentials"}"#);
    let denied = line("denied-one").await;
    assert_eq!((&denied["audit"], &denied["actor_id"]), (&json!("access_denied"), &json!(user.id)));

    let rows = "SELECT count(*) FROM audit_events WHERE kind = 'login' AND outcome = 'refused'
                AND request_id = 'wrong-one' AND user_id = $1::bigint AND address = '127.0.0.1'";
    assert_eq!(app.database.count(rows, &user.id.to_string()).await, 1);
    let counted = app.server().metric("latchkey_audit_events_total", &["kind=\"login\"", "refused"]).await;
    assert!((counted - 1.0).abs() < f64::EPSILON, "{counted}");
}

#[tokio::test]
async fn a_long_line_is_cut_and_remains_json() {
    let app = App::start().await;
    // A method can be any token (RFC 9110 §9.1), and the line of the request contains it.
    let request = app.server().request(&"LONG".repeat(5000), path::ME).header("x-request-id", "long-one");
    assert!(request.send().await.expect("a response").status().is_client_error());
    let line = app.server().wait_for_log("long-one").await;
    assert!(line.len() <= 8 * 1024, "{} bytes", line.len());
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["message"], "answered");
    assert!(line.to_string().contains(" bytes cut)"), "{line}");
}

//! `GET /api/v1/audit`

use insta::assert_json_snapshot;
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};
use serde_json::Value;

const AUDIT: &str = "/api/v1/audit";

async fn get(app: &App, query: &[(&str, &str)]) -> Answer {
    let superuser = app.superuser().await;
    app.get(AUDIT).bearer_auth(&superuser.access).query(query).answer().await
}

async fn events(app: &App, query: &[(&str, &str)]) -> Vec<Value> {
    get(app, query).await.ok(200)["events"].as_array().expect("events").clone()
}

fn ids(events: &[Value]) -> Vec<i64> {
    events.iter().map(|event| event["id"].as_i64().expect("an id")).collect()
}

#[tokio::test]
async fn an_event_has_actor_user_kind_outcome_time_and_origin() {
    let app = App::start().await;
    let user = app.create_user("watched").await;
    let superuser = app.superuser().await;
    let request = app.server().request("DELETE", &format!("{}/{}", path::USERS, user.id));
    let request = request.bearer_auth(&superuser.access).header("user-agent", "spade/1");
    request.header("x-request-id", "dig-7").answer().await;

    let answer = get(&app, &[("request_id", "dig-7")]).await;

    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body = answer.ok(200);
    assert_json_snapshot!(body, {
        ".events[].id" => "<id>", ".events[].at" => "<time>", ".events[].actor_id" => "<root>",
        ".events[].user_id" => "<user>", ".events[].detail.username" => "<name>",
    });
    let event = &body["events"][0];
    assert_eq!(event["user_id"], user.id);
    let me = app.me(&superuser.access).await.ok(200);
    assert_eq!(event["actor_id"], me["id"]);
    chrono::DateTime::parse_from_rfc3339(event["at"].as_str().unwrap()).unwrap();
}

#[tokio::test]
async fn every_event_is_on_exactly_one_page() {
    let app = App::start().await;
    let user = app.create_user("paged").await;
    for _ in 0..5 {
        app.log_in(&user).await;
    }
    let all = ids(&events(&app, &[("limit", "200")]).await);
    assert!(all.is_sorted_by(|newer, older| newer > older), "{all:?}");
    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("limit", "2")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = get(&app, &query).await.ok(200);
        seen.extend(ids(page["events"].as_array().unwrap()));
        // An event that is recorded between two pages is on no later page.
        app.log_in(&user).await;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(seen, all);
}

#[tokio::test]
async fn events_are_filtered_by_kind_user_actor_and_outcome() {
    let app = App::start().await;
    let (user, other) = (app.create_user("user").await, app.create_user("other").await);
    app.log_in(&user).await;
    app.log_in(&other).await;
    app.post_login(&user.username, "not the password").await.problem(401);
    let id = user.id.to_string();
    let kinds = async |query: &[(&str, &str)]| -> Vec<String> {
        let events = events(&app, query).await;
        events.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&[("user_id", &id)]).await, ["login", "login", "user_created"]);
    assert_eq!(kinds(&[("user_id", &id), ("outcome", "refused")]).await, ["login"]);
    assert_eq!(kinds(&[("actor_id", &id)]).await, ["login"], "the refused login has no actor");
    assert_eq!(kinds(&[("kind", "user_created")]).await, ["user_created"; 2]);
    assert_eq!(kinds(&[("kind", "user_created"), ("user_id", &id)]).await.len(), 1);
    assert!(kinds(&[("kind", "user_deleted")]).await.is_empty());
    assert!(kinds(&[("request_id", "unknown")]).await.is_empty());
}

#[tokio::test]
async fn events_are_filtered_by_time() {
    let app = App::start().await;
    app.superuser().await;
    app.database.execute("DELETE FROM audit_events").await;
    // In the order of their ids. Two transactions started earlier than those of the events before them.
    app.database
        .execute(
            "INSERT INTO audit_events (kind, at) SELECT 'login', t::timestamptz FROM unnest(ARRAY[
                 '2026-01-01T00:00:00Z', '2026-01-01T12:00:00Z', '2026-01-02T00:00:20Z', '2026-01-01T23:59:59Z',
                 '2026-01-02T00:00:00Z', '2026-01-02T12:00:00Z', '2026-01-03T00:00:00Z']) AS t",
        )
        .await;
    let hours = async |query: &[(&str, &str)]| -> Vec<String> {
        let events = events(&app, query).await;
        events.iter().map(|event| event["at"].as_str().unwrap()[8..16].to_owned()).collect()
    };
    let (first, second, third) =
        ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T01:00:00+01:00");
    assert_eq!(hours(&[("until", second)]).await, ["01T23:59", "01T12:00", "01T00:00"]);
    assert_eq!(hours(&[("since", second)]).await, ["03T00:00", "02T12:00", "02T00:00", "02T00:00"]);
    assert_eq!(hours(&[("since", second), ("until", third)]).await.len(), 3);
    assert_eq!(hours(&[("until", first)]).await.len(), 0);
    assert_eq!(hours(&[("since", "2027-01-01T00:00:00Z")]).await.len(), 0);
    assert_eq!(hours(&[("since", first), ("kind", "login")]).await.len(), 7);
}

#[tokio::test]
async fn each_invalid_parameter_is_listed() {
    let app = App::start().await;
    for (name, value) in [
        ("kind", "logins"),
        ("outcome", "ok"),
        ("actor_id", "me"),
        ("user_id", "1.5"),
        ("request_id", "a b"),
        ("since", "yesterday"),
        ("until", "2026-01-01"),
        ("limit", "201"),
        ("cursor", "AAAA"),
    ] {
        assert_eq!(get(&app, &[(name, value)]).await.invalid_fields(), [name], "{value}");
    }
    assert_eq!(get(&app, &[("user", "1")]).await.invalid_fields(), ["query"]);
    for time in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:60Z"] {
        get(&app, &[("since", time)]).await.ok(200);
        get(&app, &[("until", time)]).await.ok(200);
    }
}

#[tokio::test]
async fn other_users_get_403() {
    let app = App::start().await;
    let (_, session) = app.new_session("plain").await;
    app.get(AUDIT).answer().await.problem(401);
    app.get(AUDIT).bearer_auth(&session.access).answer().await.problem(403);
    app.get(&format!("{AUDIT}?limit=0")).bearer_auth(&session.access).answer().await.problem(403);
}

#[tokio::test]
async fn events_contain_no_secret() {
    let app = App::start().await;
    let (user, session) = app.new_session("careful").await;
    app.post_login(&user.username, "NeverLogged at all").await.problem(401);
    app.log_out(&session).await.ok(200);
    let answer = get(&app, &[("limit", "200")]).await;
    assert_eq!(latchkey_tests::logs::leak(&answer.body), None);
}

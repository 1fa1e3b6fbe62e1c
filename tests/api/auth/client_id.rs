//! `client_id` of tokens (RFC 9068 §2.2), from the token request to the introspection.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, path};
use latchkey_tests::forged_tokens::claim;
use serde_json::Value;

async fn exchange(app: &App, refresh: &str, client: Option<&str>) -> Answer {
    let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", refresh)];
    form.extend(client.map(|client| ("client_id", client)));
    app.post(path::TOKEN).form(&form).answer().await
}

#[track_caller]
fn tokens(answer: &Answer) -> Session {
    let body = answer.ok(200);
    let token = |name: &str| body[name].as_str().unwrap().to_owned();
    Session { access: token("access_token"), refresh: token("refresh_token") }
}

async fn introspected(app: &App, token: &str) -> Value {
    let superuser = &app.superuser().await.access;
    let answer = app.post(path::INTROSPECT).bearer_auth(superuser).form(&[("token", token)]).answer().await;
    answer.ok(200)["client_id"].clone()
}

#[tokio::test]
async fn is_latchkey_where_no_client_was_named() {
    let app = App::start().await;
    let (user, session) = app.new_session("unnamed").await;
    let form = [("username", &user.username), ("password", &user.password)];
    let granted = app.post(path::TOKEN).form(&form).answer().await.ok(200);
    let granted = granted["access_token"].as_str().unwrap();
    let refreshed = Session::from_answer(&app.refresh(&session).await);
    let exchanged = tokens(&exchange(&app, &refreshed.refresh, Some("")).await);
    for token in [granted, &session.access, &refreshed.access, &exchanged.access] {
        assert_eq!(claim(token, "client_id"), "latchkey");
        assert_eq!(introspected(&app, token).await, "latchkey");
    }
    assert_eq!(introspected(&app, &exchanged.refresh).await, "latchkey");
}

#[tokio::test]
async fn is_the_client_that_the_token_request_names() {
    let app = App::start().await;
    let user = app.create_user("named").await;
    let password = [("username", user.username.as_str()), ("password", user.password.as_str())];
    for name in ["web", "my app, v2", "https://app.example.test/client?id=1", "\"\\;%41", &"x".repeat(128)] {
        let form = [password[0], password[1], ("client_id", name), ("client_secret", "ignored")];
        let answer = app.post(path::TOKEN).form(&form).answer().await.ok(200);
        let access = answer["access_token"].as_str().unwrap();
        assert_eq!(claim(access, "client_id"), name);
        assert_eq!(introspected(&app, access).await, name);
        app.me(access).await.ok(200);
    }
    // RFC 6749 §2.3.1; the form decides, and what is no client's name in that header is another program's.
    for (id, in_form, expected) in [
        ("web", None, "web"),
        ("my%20app", None, "my app"),
        ("web", Some("form"), "form"),
        ("z\u{f6}", None, "latchkey"),
    ] {
        let mut form = password.to_vec();
        form.extend(in_form.map(|name| ("client_id", name)));
        let answer = app.post(path::TOKEN).basic_auth(id, Some("")).form(&form).answer().await.ok(200);
        assert_eq!(claim(answer["access_token"].as_str().unwrap(), "client_id"), expected, "{id}");
    }
}

#[tokio::test]
async fn is_kept_by_every_refresh() {
    let app = App::start().await;
    let (_, session) = app.new_session("kept").await;
    let first = tokens(&exchange(&app, &session.refresh, Some("web")).await);
    let second = tokens(&exchange(&app, &first.refresh, Some("web")).await);
    let third = tokens(&exchange(&app, &second.refresh, None).await);
    let fourth = Session::from_answer(&app.refresh(&third).await);
    for access in [&first.access, &second.access, &third.access, &fourth.access] {
        assert_eq!(claim(access, "client_id"), "web");
    }
    assert_eq!(introspected(&app, &fourth.refresh).await, "web");
}

#[tokio::test]
async fn of_another_client_refreshes_nothing_and_ends_nothing() {
    let app = App::start().await;
    let (_, session) = app.new_session("bound").await;
    let bound = tokens(&exchange(&app, &session.refresh, Some("web")).await);
    for other in ["Web", "latchkey", "w"] {
        let answer = exchange(&app, &bound.refresh, Some(other)).await;
        assert_eq!(answer.problem(400)["error"], "invalid_grant");
    }
    app.me(&bound.access).await.ok(200);
    tokens(&exchange(&app, &bound.refresh, Some("web")).await);
}

#[tokio::test]
async fn is_refused_with_characters_that_the_rfc_forbids_and_without_bounds() {
    let app = App::start().await;
    let (user, session) = app.new_session("forbidden").await;
    for name in ["a\nb", "a\0", "\u{7f}", "zoë", "\u{202e}x", &"x".repeat(129), &"x".repeat(10_000)] {
        let form = [("username", &*user.username), ("password", &*user.password), ("client_id", name)];
        let answer = app.post(path::TOKEN).form(&form).answer().await;
        assert_eq!(answer.problem(422)["error"], "invalid_request", "{name:?}");
        assert_eq!(answer.invalid_fields(), ["client_id"]);
        assert_eq!(
            exchange(&app, &session.refresh, Some(name)).await.problem(422)["error"],
            "invalid_request"
        );
    }
    tokens(&exchange(&app, &session.refresh, None).await);
}

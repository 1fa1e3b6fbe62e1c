//! `GET /api/v1/users`

use latchkey_tests::app::App;
use serde_json::{Value, json};

use super::{assert_for_superusers, named, request, send};
use latchkey_tests::answer::Answered;

/// The user names in the response to a query.
async fn names(app: &App, query: &[(&str, &str)]) -> Vec<String> {
    let answer = request(app, "GET", "").await.query(query).answer().await.ok(200);
    usernames(&answer)
}

fn usernames(page: &Value) -> Vec<String> {
    let users = page["users"].as_array().expect("users");
    users.iter().map(|user| user["username"].as_str().expect("a name").to_owned()).collect()
}

async fn create(app: &App, name: &str, more: Value) {
    let mut body = named(name);
    body["password"] = "NeverLogged of a list".into();
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app.post_user(&body).await.ok(201);
}

#[tokio::test]
async fn every_account_is_on_exactly_one_page() {
    let app = App::start().await;
    for number in 0..6 {
        create(&app, &format!("user-{number}"), json!({})).await;
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let mut query = vec![("limit", "3")];
        if let Some(cursor) = &cursor {
            query.push(("cursor", cursor));
        }
        let page = request(&app, "GET", "").await.query(&query).answer().await;
        assert_eq!(page.header("cache-control"), Some("no-store"));
        let page = page.ok(200);
        seen.extend(usernames(&page));
        pages += 1;
        // A deletion between two pages neither repeats nor skips an account.
        if pages == 1 {
            app.database.execute("DELETE FROM users WHERE username = 'user-0'").await;
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    let expected: Vec<_> =
        ["root.admin".to_owned()].into_iter().chain((0..6).map(|n| format!("user-{n}"))).collect();
    assert_eq!(seen, expected);
    assert_eq!(pages, 3, "the last page has no cursor");
}

#[tokio::test]
async fn the_search_finds_the_start_of_each_name_in_any_case() {
    let app = App::start().await;
    create(&app, "alpha", json!({ "email": "first@a.test", "name": "Zoë Übel" })).await;
    create(&app, "beta", json!({ "email": "Alpha.second@a.test", "name": "Bob" })).await;
    create(&app, "gamma", json!({ "email": "third@a.test", "name": "ALPHONSE" })).await;
    create(&app, "delta_x", json!({ "email": "a%b@a.test", "name": "100% sure" })).await;
    for (search, expected) in [
        ("alph", vec!["alpha", "beta", "gamma"]),
        ("ALPHA", vec!["alpha", "beta"]),
        ("lpha", vec![]),
        ("zoë", vec!["alpha"]),
        ("Zoë Ü", vec!["alpha"]),
        ("%", vec![]),
        ("_", vec![]),
        ("delta_", vec!["delta_x"]),
        ("delta%", vec![]),
        ("a%", vec!["delta_x"]),
        ("100%", vec!["delta_x"]),
        ("\\", vec![]),
        ("'", vec![]),
        ("a\0", vec![]),
        ("\u{10ffff}", vec![]),
    ] {
        assert_eq!(names(&app, &[("search", search)]).await, expected, "{search:?}");
    }
    assert_eq!(names(&app, &[("search", "")]).await.len(), 5, "every name starts with the empty text");
}

#[tokio::test]
async fn filters_can_be_combined() {
    let app = App::start().await;
    for name in ["on", "off", "chief", "chief-off", "unread"] {
        create(&app, name, json!({ "is_superuser": name.starts_with("chief") })).await;
    }
    app.database.execute("UPDATE users SET is_active = false WHERE username LIKE '%off'").await;
    app.database.execute("UPDATE users SET email_verified_at = NULL WHERE username = 'unread'").await;
    for (query, expected) in [
        (&[("is_active", "false")][..], &["off", "chief-off"][..]),
        (&[("is_active", "true")], &["root.admin", "on", "chief", "unread"]),
        (&[("is_superuser", "true")], &["root.admin", "chief", "chief-off"]),
        (&[("is_superuser", "false"), ("is_active", "true")], &["on", "unread"]),
        (&[("is_superuser", "true"), ("is_active", "false")], &["chief-off"]),
        (&[("verified", "false")], &["unread"]),
        (&[("verified", "true"), ("search", "c"), ("is_active", "true")], &["chief"]),
        (&[("verified", "false"), ("is_superuser", "true")], &[]),
    ] {
        assert_eq!(names(&app, query).await, expected, "{query:?}");
    }
}

#[tokio::test]
async fn each_invalid_parameter_is_listed() {
    let app = App::start().await;
    for (query, fields) in [
        ("limit=0", &["limit"][..]),
        ("limit=201", &["limit"]),
        ("limit=-1", &["limit"]),
        ("limit=many", &["limit"]),
        ("limit=1&limit=2", &["limit"]),
        ("cursor=nonsense", &["cursor"]),
        ("cursor=%00", &["cursor"]),
        ("is_active=yes", &["is_active"]),
        ("is_activ=true", &["query"]),
        ("verified=1&is_superuser=TRUE", &["is_superuser", "verified"]),
    ] {
        assert_eq!(send(&app, "GET", &format!("?{query}")).await.invalid_fields(), fields, "{query}");
    }
    let long = "x".repeat(255);
    assert_eq!(send(&app, "GET", &format!("?search={long}")).await.invalid_fields(), ["search"]);
    send(&app, "GET", "?search=%ff").await.problem(400);
    send(&app, "GET", "?limit=200&cursor=__________8").await.ok(200);

    // A filter without a value must not list all accounts.
    for name in ["is_active", "verified", "limit", "cursor"] {
        assert_eq!(send(&app, "GET", &format!("?{name}=")).await.invalid_fields(), [name]);
    }
}

#[tokio::test]
async fn other_users_get_403() {
    let app = App::start().await;
    let (_, session) = app.new_session("plain").await;
    assert_for_superusers(&app, &session, "GET", "").await;
    assert_for_superusers(&app, &session, "GET", "?limit=nonsense").await;
}

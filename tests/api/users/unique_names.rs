//! A user name and an address belong to one account, in any case of their letters and with concurrent requests.

use std::collections::BTreeMap;

use futures::future::join_all;
use insta::assert_json_snapshot;
use latchkey_tests::answer::admitted;
use latchkey_tests::app::App;
use latchkey_tests::logs::SECRET_MARK;
use serde_json::{Value, json};

fn account(username: &str, email: &str) -> Value {
    json!({ "username": username, "email": email, "name": "N", "password": format!("{SECRET_MARK} shared") })
}

#[tokio::test]
async fn a_taken_name_or_address_is_a_conflict_in_any_case() {
    let app = App::start().await;
    app.post_user(&account("john", "john@example.test")).await.ok(201);

    let name = app.post_user(&account("JOHN", "other@example.test")).await;
    assert_json_snapshot!(name.problem(409), { ".instance" => "<request id>" });
    let address = app.post_user(&account("other", "John@EXAMPLE.test")).await;
    assert_json_snapshot!(address.problem(409), { ".instance" => "<request id>" });

    app.post_user(&account("other", "other@example.test")).await.ok(201);
}

#[tokio::test]
async fn one_of_several_concurrent_requests_gets_the_name() {
    let app = App::setup().replicas(2).start().await;
    app.superuser().await;
    let bodies: Vec<_> = (0..8)
        .map(|number| {
            let name = if number % 2 == 0 { "wanted" } else { "Wanted" };
            account(name, &format!("{number}@example.test"))
        })
        .collect();

    let answers = join_all(bodies.iter().map(|body| admitted(|| app.post_user(body)))).await;

    let mut statuses = BTreeMap::new();
    for answer in &answers {
        *statuses.entry(answer.status).or_insert(0) += 1;
    }
    assert_eq!(statuses, BTreeMap::from([(201, 1), (409, 7)]));
}

#[tokio::test]
async fn the_first_superuser_is_created_once_by_several_replicas() {
    let app = App::setup().replicas(3).start().await;
    let superusers = "SELECT count(*) FROM users WHERE is_superuser AND username = $1";
    assert_eq!(app.database.count(superusers, latchkey_tests::app::SUPERUSER).await, 1);
}

#[tokio::test]
async fn a_restart_neither_creates_nor_changes_a_superuser() {
    let mut app = App::start().await;
    app.database.execute("UPDATE users SET username = 'renamed' WHERE is_superuser").await;

    app.restart(0).await;

    let count = "SELECT count(*) FROM users WHERE username <> $1";
    assert_eq!(app.database.count(count, "renamed").await, 0, "another superuser was created");
    app.log_in_as("renamed", &latchkey_tests::app::superuser_password()).await;
}

#[tokio::test]
async fn names_are_compared_without_case_in_any_locale_of_the_database() {
    let app = App::setup().in_c_locale().start().await;
    // Both cases of every letter, including `I` and `i`, which are different letters in a Turkish locale.
    for (number, name) in
        ["ABCDEFGHIJKLMnopqrstuvwxyz", "abcdefghijklmNOPQRSTUVWXYZ.0_9-"].into_iter().enumerate()
    {
        app.post_user(&account(name, &format!("{name}@example.test"))).await.ok(201);
        for other in [name.to_uppercase(), name.to_lowercase()] {
            app.post_user(&account(&other, &format!("again-{number}@example.test"))).await.problem(409);
            app.post_user(&account(&format!("again-{number}"), &format!("{other}@example.test")))
                .await
                .problem(409);
            app.log_in_as(&other, &format!("{SECRET_MARK} shared")).await;
            app.log_in_as(&format!("{other}@example.test"), &format!("{SECRET_MARK} shared")).await;
        }
    }
    // A user name cannot contain letters beyond ASCII, so their case does not matter.
    for name in ["jöhn", "ПЁТР"] {
        app.post_user(&account(name, "letters@example.test")).await.problem(422);
    }
}

//! Concurrent changes to one account are serialized: no deadlock, no 5xx, one outcome.

use futures::future::join_all;
use latchkey_tests::answer::{Answered, admitted};
use latchkey_tests::app::{App, path};
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::smtp::Smtp;
use serde_json::json;

#[tokio::test]
async fn concurrent_changes_of_an_account_do_not_deadlock() {
    let app = App::setup().mail(Smtp::Plain).replicas(2).start().await;
    for round in 0..4 {
        let (user, session) = app.new_session("busy").await;
        let new_email = format!("new-{round}@example.test");
        let asked = json!({ "password": user.password, "email": new_email });
        app.post(path::MY_EMAIL).bearer_auth(&session.access).json(&asked).answer().await.ok(202);
        app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
        let confirm = app.mail().wait_for(&new_email, 1).await[0].token();
        let mail = app.mail().wait_for(&user.email, 2).await;
        let reset = mail.iter().find(|mail| mail.text().contains("token=")).expect("a link").token();

        let at =
            |replica: usize, path: &str| app.servers[replica % 2].post(path).bearer_auth(&session.access);
        let chosen = |by: &str| format!("{SECRET_MARK} by {by}");
        let mut requests = Vec::new();
        for replica in 0..2 {
            let change = json!({ "current_password": user.password, "new_password": chosen("change") });
            requests.push(at(replica, path::MY_PASSWORD).json(&change));
            let body = json!({ "token": reset, "new_password": chosen("reset") });
            requests.push(at(replica, path::RESET).json(&body));
            requests.push(at(replica, path::CONFIRM_EMAIL).json(&json!({ "token": confirm })));
            requests.push(at(replica, path::MY_EMAIL).json(&asked));
            requests.push(at(replica, &format!("{}/{}", path::RECOVERY, user.email)));
            requests.push(at(replica, path::LOGOUT_ALL));
        }
        let answers = join_all(requests.iter().map(|request| {
            // Some wait for a hash, and the server limits that wait.
            admitted(|| request.try_clone().expect("a body in memory").answer())
        }))
        .await;

        assert!(answers.iter().all(|answer| answer.status < 500), "{answers:?}");
        let address = "SELECT email FROM users WHERE username = $1";
        let address = app.database.text(address, &user.username).await;
        let mut works = Vec::new();
        for password in [user.password.clone(), chosen("change"), chosen("reset")] {
            works.push(app.post_login(&address, &password).await.status == 200);
        }
        assert_eq!(works.iter().filter(|works| **works).count(), 1, "{works:?} {answers:?}");
    }
}

#[tokio::test]
async fn using_a_link_while_it_is_invalidated_does_not_deadlock() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (user, session) = app.new_session("busy").await;
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let token = app.mail().wait_for(&user.email, 1).await[0].token();
    let mut lock = app.database.begin("SELECT FROM users FOR UPDATE").await;

    // The change of the password is first and invalidates the link, whose row the reset has already locked.
    let change =
        json!({ "current_password": user.password, "new_password": format!("{SECRET_MARK} by change") });
    let change = app.post(path::MY_PASSWORD).bearer_auth(&session.access).json(&change).answer();
    let reset = async {
        app.database.wait_until_blocked(1).await;
        let body = json!({ "token": token, "new_password": format!("{SECRET_MARK} by reset") });
        app.post(path::RESET).json(&body).answer().await
    };
    let release = async {
        app.database.wait_until_blocked(2).await;
        sqlx::query("COMMIT").execute(&mut lock).await.unwrap();
    };
    let (change, reset, ()) = tokio::join!(change, reset, release);

    change.ok(200);
    reset.problem(422);
}

//! `/confirm-email`, the page at the link that is mailed to a new address.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::App;
use latchkey_tests::smtp::Smtp;
use serde_json::json;

use crate::auth::change_email::request;

const NEW: &str = "new@example.test";

#[tokio::test]
async fn opening_the_page_changes_nothing_and_its_button_changes_the_address() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (user, session) = app.new_session("mover").await;
    request(&app, &session, &user.password, NEW).await.ok(202);
    let mail = app.mail().wait_for(NEW, 1).await.remove(0);
    let path = format!("/confirm-email?token={}", mail.token());
    for _ in 0..2 {
        let page = app.get(&path).answer().await;
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.body.contains(r#"<form method="post" action="confirm-email">"#), "{}", page.body);
        assert!(page.body.contains(&user.username) && page.body.contains(NEW), "{}", page.body);
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert!(page.header("content-security-policy").is_some_and(|policy| !policy.contains("unsafe")));
    }
    assert_eq!(app.me(&session.access).await.ok(200)["email"], json!(user.email));

    let done = app.post("/confirm-email").form(&[("token", mail.token())]).answer().await;

    assert_eq!(done.status, 200, "{done:?}");
    assert!(done.body.contains("was changed"), "{}", done.body);
    assert_eq!(app.me(&session.access).await.ok(200)["email"], json!(NEW));
    let again = app.post("/confirm-email").form(&[("token", mail.token())]).answer().await;
    assert_eq!(again.status, 410, "{again:?}");
}

#[tokio::test]
async fn a_link_for_a_taken_address_gets_410() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (user, session) = app.new_session("mover").await;
    let owner = app.create_user("owner").await;
    request(&app, &session, &user.password, &owner.email).await.ok(202);
    let token = app.mail().wait_for(&owner.email, 1).await[0].token();
    let answer = app.post("/confirm-email").form(&[("token", &token)]).answer().await;
    assert_eq!(answer.status, 410, "{answer:?}");
    assert_eq!(app.me(&session.access).await.ok(200)["email"], json!(user.email));
}

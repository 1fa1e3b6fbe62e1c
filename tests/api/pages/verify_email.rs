//! `/verify-email`, the page at the link that is mailed after a registration.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};

use crate::auth::register::{body, open, password, register};

const JOHN: &str = "john@example.test";

/// A registered account, the path of its link, and its token.
async fn registered() -> (App, String, String) {
    let app = open().start().await;
    register(&app, &body("john", JOHN)).await.ok(202);
    let mail = app.mail().wait_for(JOHN, 1).await.remove(0);
    let link = mail.link();
    (app, format!("{}?{}", link.path(), link.query().unwrap()), mail.token())
}

#[tokio::test]
async fn opening_the_page_changes_nothing_and_its_button_verifies_the_address() {
    let (app, link, token) = registered().await;
    for _ in 0..2 {
        let page = app.get(&link).answer().await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        assert!(page.body.contains(r#"<form method="post" action="verify-email">"#), "{}", page.body);
        assert!(
            page.body.contains("john") && page.body.contains(JOHN),
            "the page does not name the account: {}",
            page.body
        );
    }
    app.server().request("HEAD", &link).answer().await;
    app.post_login("john", &password()).await.problem(403);

    let done = app.post("/verify-email").form(&[("token", &token)]).answer().await;

    assert_eq!(done.status, 200, "{done:?}");
    assert!(done.body.contains("is confirmed") && !done.body.contains("<form"), "{}", done.body);
    app.log_in_as("john", &password()).await;
    for answer in
        [app.get(&link).answer().await, app.post("/verify-email").form(&[("token", &token)]).answer().await]
    {
        assert_eq!(answer.status, 410, "{answer:?}");
        assert!(!answer.body.contains("<form"), "{}", answer.body);
    }
}

#[tokio::test]
async fn the_token_does_not_leave_the_page() {
    let (app, link, token) = registered().await;
    let pages =
        [app.get(&link).answer().await, app.post("/verify-email").form(&[("token", &token)]).answer().await];
    for page in pages {
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        let policy = page.header("content-security-policy").expect("a policy");
        for directive in
            ["default-src 'none'", "style-src 'sha256-", "frame-ancestors 'none'", "base-uri 'none'"]
        {
            assert!(policy.contains(directive), "{directive} is missing: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!page.body.contains("http") && !page.body.contains("<script"), "{}", page.body);
    }
}

#[tokio::test]
async fn the_page_has_the_language_of_the_account_or_the_browser() {
    let app = open().start().await;
    let page = async |locale: Option<&str>, accept: &str| {
        let name = format!("user-{}", uuid::Uuid::new_v4().simple());
        let email = format!("{name}@example.test");
        let mut body = body(&name, &email);
        body["locale"] = locale.map_or(serde_json::Value::Null, Into::into);
        register(&app, &body).await.ok(202);
        let link = app.mail().wait_for(&email, 1).await[0].link();
        let path = format!("{}?{}", link.path(), link.query().unwrap());
        app.get(&path).header("accept-language", accept).answer().await.body
    };
    assert!(page(Some("de-AT"), "fr").await.contains(r#"<html lang="de">"#));
    assert!(page(None, "it, fr;q=0.3").await.contains(r#"<html lang="fr">"#));
    assert!(page(Some("ja"), "").await.contains(r#"<html lang="en">"#));
    let dead = app.get("/verify-email?token=x").header("accept-language", "de").answer().await;
    assert!(dead.body.contains("gilt nicht mehr"), "{}", dead.body);
}

#[tokio::test]
async fn links_of_another_purpose_get_410() {
    let (app, _, _) = registered().await;
    app.post(&format!("{}/{JOHN}", path::RECOVERY)).answer().await.ok(200);
    let reset = app.mail().wait_for(JOHN, 2).await[1].token();
    for page in ["/verify-email", "/confirm-email"] {
        for token in [reset.as_str(), "nonsense", "", "%00", "%22%3E%3Cscript%3Ealert(1)%3C/script%3E"] {
            let answer = app.get(&format!("{page}?token={token}")).answer().await;
            assert_eq!(answer.status, 410, "{page} {token}");
            assert!(!answer.body.contains("<form") && !answer.body.contains("<script"), "{}", answer.body);
        }
        assert_eq!(app.get(page).answer().await.status, 410);
        assert_eq!(app.get(&format!("{page}?token=%ff")).answer().await.status, 410);
        app.post(page).body("token=x").answer().await.problem(415);
    }
}

//! The page at the mailed link.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};
use latchkey_tests::smtp::Smtp;

async fn page(app: &App, path_and_query: &str) -> Answer {
    let answer = app.get(path_and_query).answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    answer
}

/// The page's path, with a real token and without.
async fn mailed_link(app: &App) -> (String, String) {
    let user = app.create_user("reader").await;
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let link = app.mail().wait_for(&user.email, 1).await[0].link();
    (format!("{}?{}", link.path(), link.query().unwrap()), link.path().to_owned())
}

#[tokio::test]
async fn has_a_form_that_asks_for_a_new_password() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (link, _) = mailed_link(&app).await;

    let answer = page(&app, &link).await;

    let body = answer.body.to_lowercase();
    assert!(body.contains("<form"), "{body}");
    assert!(body.contains(r#"type="password""#), "{body}");
    assert!(body.contains(r#"autocomplete="new-password""#), "{body}");
    assert!(body.contains(r#"<html lang=""#), "{body}");
    assert!(body.contains("<label"), "{body}");
    assert!(answer.body.contains(path::RESET), "it posts to the endpoint: {body}");
}

#[tokio::test]
async fn the_token_does_not_leave_the_page() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (link, _) = mailed_link(&app).await;

    let answer = page(&app, &link).await;

    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let policy = answer.header("content-security-policy").expect("a content security policy");
    for directive in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(directive), "{directive} is missing: {policy}");
    }
    assert!(!policy.contains("unsafe-inline") && !policy.contains("unsafe-eval"), "{policy}");
    for elsewhere in ["src=\"http", "href=\"http", "src=\"//", "@import"] {
        assert!(!answer.body.contains(elsewhere), "the page loads something from elsewhere: {elsewhere}");
    }
}

#[tokio::test]
async fn a_token_with_markup_in_it_stays_text() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (_, path) = mailed_link(&app).await;

    let answer = page(&app, &format!("{path}?token=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")).await;

    assert!(!answer.body.contains("<script>alert(1)"), "{}", answer.body);
}

#[tokio::test]
async fn opening_the_page_uses_nothing_up() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (link, path_only) = mailed_link(&app).await;
    page(&app, &link).await;
    page(&app, &link).await;
    page(&app, &path_only).await;
    let token = link.split_once("token=").unwrap().1;
    let body = serde_json::json!({ "token": token, "new_password": "NeverLogged after a look" });
    app.post(path::RESET).json(&body).answer().await.ok(200);
}

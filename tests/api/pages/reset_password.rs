//! `/reset-password`, the page at the link that recovers a password.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};
use latchkey_tests::smtp::Smtp;

async fn page(app: &App, path_and_query: &str) -> Answer {
    let answer = any_page(app, path_and_query).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// The page with any status.
async fn any_page(app: &App, path_and_query: &str) -> Answer {
    let answer = app.get(path_and_query).answer().await;
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    answer
}

/// The path of the page, with a valid token and without a token.
async fn mailed_link(app: &App) -> (String, String) {
    let user = app.create_user("reader").await;
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let link = app.mail().wait_for(&user.email, 1).await[0].link();
    (format!("{}?{}", link.path(), link.query().unwrap()), link.path().to_owned())
}

#[tokio::test]
async fn the_page_has_a_form_for_a_new_password() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (link, _) = mailed_link(&app).await;

    let answer = page(&app, &link).await;

    let body = answer.body.to_lowercase();
    assert!(body.contains("<form"), "{body}");
    assert!(body.contains(r#"type="password""#), "{body}");
    assert!(body.contains(r#"autocomplete="new-password""#), "{body}");
    assert!(body.contains(r#"<html lang=""#), "{body}");
    assert!(body.contains("<label"), "{body}");
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
    assert!(!policy.contains("script-src") && !policy.contains("unsafe-eval"), "no script: {policy}");
    for elsewhere in ["src=\"http", "href=\"http", "src=\"//", "@import"] {
        assert!(!answer.body.contains(elsewhere), "the page loads a resource from another host: {elsewhere}");
    }
}

#[tokio::test]
async fn markup_in_a_token_is_escaped() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (_, path) = mailed_link(&app).await;

    let answer = any_page(&app, &format!("{path}?token=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")).await;

    assert!(!answer.body.contains("<script>alert(1)"), "{}", answer.body);
}

#[tokio::test]
async fn opening_the_page_does_not_use_up_the_token() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (link, _) = mailed_link(&app).await;
    page(&app, &link).await;
    page(&app, &link).await;
    let token = link.split_once("token=").unwrap().1;
    let body = serde_json::json!({ "token": token, "new_password": "NeverLogged after reading" });
    app.post(path::RESET).json(&body).answer().await.ok(200);
}

#[tokio::test]
async fn an_invalid_link_gets_410_without_a_form() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (link, path_only) = mailed_link(&app).await;
    let token = link.split_once("token=").unwrap().1;
    let body = serde_json::json!({ "token": token, "new_password": "NeverLogged after reading" });
    app.post(path::RESET).json(&body).answer().await.ok(200);

    for bad in [&link, &path_only, &format!("{path_only}?token=nonsense"), &format!("{path_only}?token=%00")]
    {
        let answer = any_page(&app, bad).await;
        assert_eq!(answer.status, 410, "{answer:?}");
        assert!(!answer.body.contains("<form"), "{}", answer.body);
    }
}

/// The target and the fields that a browser sends when the form is submitted: every hidden field, and the passwords.
fn fill_in(page: &str, password: &str) -> (String, Vec<(String, String)>) {
    let attribute = |tag: &str, name: &str| {
        let value = tag.split_once(&format!("{name}=\""))?.1.split('"').next()?;
        Some(value.to_owned())
    };
    let form = page.split_once("<form").expect("a form").1;
    let (tag, rest) = form.split_once('>').expect("the form's tag");
    assert_eq!(attribute(tag, "method").map(|method| method.to_lowercase()), Some("post".to_owned()));
    let fields = rest.split("<input").skip(1).filter_map(|input| {
        let tag = input.split('>').next()?;
        let hidden = attribute(tag, "type").is_some_and(|kind| kind == "hidden");
        let value = if hidden { attribute(tag, "value")? } else { password.to_owned() };
        Some((attribute(tag, "name")?, value))
    });
    (attribute(tag, "action").unwrap_or_default(), fields.collect())
}

#[tokio::test]
async fn the_form_sets_the_password_without_a_script() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (user, session) = app.new_session("browser").await;
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let link = app.mail().wait_for(&user.email, 1).await[0].link();
    let shown = page(&app, &format!("{}?{}", link.path(), link.query().unwrap())).await;
    let submit = async |password: &str| {
        let (action, fields) = fill_in(&shown.body, password);
        // Relative, so that it is correct behind a proxy that adds a path prefix.
        let target = link.join(&action).expect("a form's action");
        app.post(target.path()).form(&fields).answer().await
    };

    let refused = submit("qzvkwxj").await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(
        refused.body.contains("<form") && refused.body.contains('8'),
        "the page has no reason: {}",
        refused.body
    );
    assert!(!refused.body.contains("qzvkwxj"), "the page contains the password");
    let done = submit("NeverLogged by form").await;
    assert_eq!(done.status, 200, "{done:?}");
    for answer in [&refused, &done] {
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.headers.contains_key("content-security-policy"));
    }

    app.log_in_as(&user.username, "NeverLogged by form").await;
    app.me(&session.access).await.problem(401);
    assert_eq!(submit("NeverLogged once more").await.status, 410);
}

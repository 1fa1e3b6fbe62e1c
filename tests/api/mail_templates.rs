//! Custom e-mail templates in a folder (`MAIL_TEMPLATES_DIR`).

use std::fs;

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::process::temporary_folder;
use latchkey_tests::smtp::Smtp;
use latchkey_tests::wait;
use tempfile::TempDir;

/// Starts an app with the templates in this folder.
async fn with_templates(folder: &TempDir) -> App {
    App::setup().mail(Smtp::Plain).set("MAIL_TEMPLATES_DIR", folder.path().to_str().unwrap()).start().await
}

#[tokio::test]
async fn a_file_replaces_one_part_in_one_language() {
    let folder = temporary_folder("templates-");
    let text = "Subject: Ours for {{ username }}\n\nOur text: {{ link }}\n";
    fs::write(folder.path().join("password_recovery.en.txt"), text).unwrap();
    let app = with_templates(&folder).await;
    let user = app.create_user("ours").await;

    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);

    let mail = app.mail().wait_for(&user.email, 1).await.remove(0);
    assert_eq!(mail.subject(), format!("Ours for {}", user.username));
    assert!(mail.text().starts_with("Our text: https://"), "{}", mail.text());
    let built_in = format!("<strong>{}</strong>", user.username);
    assert!(mail.html().contains(&built_in), "the HTML part is the built-in template: {}", mail.html());
}

#[tokio::test]
async fn values_are_escaped_in_html() {
    let folder = temporary_folder("templates-");
    fs::write(folder.path().join("username_taken.en.html"), "<p>{{ username }}</p>").unwrap();
    let app = with_templates(&folder).await;
    app.database
        .execute(
            r#"INSERT INTO outbox (kind, recipient, data)
               VALUES ('username_taken', 'markup@example.test', '{"username": "<b onclick=\"x\">&"}')"#,
        )
        .await;
    let mail = app.mail().wait_for("markup@example.test", 1).await.remove(0);
    assert!(!mail.html().contains("<b"), "{}", mail.html());
    assert!(mail.text().contains("<b onclick=\"x\">&"), "{}", mail.text());
}

#[tokio::test]
async fn a_template_that_fails_for_one_message_does_not_delay_others() {
    let folder = temporary_folder("templates-");
    // The check of the templates cannot find this fault, which only affects one account.
    let text = "Subject: Ours\n\n{% if username == 'poison' %}{{ nothing }}{% endif %}{{ username }}\n";
    fs::write(folder.path().join("username_taken.en.txt"), text).unwrap();
    let app = with_templates(&folder).await;
    app.database
        .execute(
            r#"INSERT INTO outbox (kind, recipient, data) VALUES
               ('username_taken', 'poisoned@example.test', '{"username": "poison"}'),
               ('username_taken', 'healthy@example.test', '{"username": "healthy"}')"#,
        )
        .await;

    app.mail().wait_for("healthy@example.test", 1).await;

    let tried = "SELECT count(*) FROM outbox WHERE recipient = $1 AND attempts > 0 AND dead_at IS NULL";
    wait::until_equal("the number of messages to be tried again", 1, || {
        app.database.count(tried, "poisoned@example.test")
    })
    .await;
    let reason = "SELECT last_error FROM outbox WHERE recipient = $1";
    let reason = app.database.text(reason, "poisoned@example.test").await;
    assert!(reason.contains("username_taken.en.txt"), "{reason}");
}

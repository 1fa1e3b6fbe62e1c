//! The text and the language of each kind of message, and the conditions under which it is not sent.

use latchkey_tests::app::{App, User};
use latchkey_tests::smtp::{Mail, Smtp};
use serde_json::json;
use sqlx::Connection as _;

/// Inserts a message into the outbox, like the request that causes it: `{kind, recipient, user, locale, data}`.
async fn post_message(app: &App, message: &serde_json::Value) {
    let sql = "INSERT INTO outbox (kind, recipient, user_id, locale, data)
               SELECT kind, recipient, (SELECT id FROM users WHERE username = message.user), locale,
                      coalesce(data, '{}')
               FROM jsonb_to_record($1::jsonb)
                    AS message (kind text, recipient text, \"user\" text, locale text, data jsonb)";
    assert_eq!(app.database.execute_for(sql, &message.to_string()).await, 1);
}

/// Changes the row of an account.
async fn change(app: &App, user: &User, sql: &'static str) {
    assert_eq!(app.database.execute_for(sql, &user.username).await, 1, "{sql}");
}

async fn only_mail_to(app: &App, address: &str) -> Mail {
    let mut mail = app.mail().wait_for(address, 1).await;
    assert_eq!(mail.len(), 1, "{address}");
    mail.remove(0)
}

#[tokio::test]
async fn every_kind_of_message_is_sent_with_its_text() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    for (kind, condition, data, says) in [
        ("password_recovery", None, json!({}), "new password"),
        ("password_changed", None, json!({}), "was changed"),
        (
            "email_verification",
            Some("UPDATE users SET email_verified_at = NULL WHERE username = $1"),
            json!({}),
            "Confirm",
        ),
        ("registration_exists", None, json!({}), "already have"),
        ("email_change_notice", None, json!({ "new_email": "next@example.test" }), "next@example.test"),
        ("email_changed", None, json!({ "new_email": "next@example.test" }), "next@example.test"),
        (
            "invitation",
            Some("UPDATE users SET password_hash = NULL WHERE username = $1"),
            json!({}),
            "Choose a password",
        ),
    ] {
        let user = app.create_user("about").await;
        if let Some(sql) = condition {
            change(&app, &user, sql).await;
        }
        let message = json!({ "kind": kind, "recipient": user.email, "user": user.username, "data": data });
        post_message(&app, &message).await;

        let mail = only_mail_to(&app, &user.email).await;
        for part in [mail.text(), mail.html()] {
            assert!(part.contains(says) && part.contains("Example Accounts"), "{kind}: {part}");
        }
        let names_the_account = kind != "email_verification";
        assert_eq!(mail.text().contains(&user.username), names_the_account, "{kind}");
    }
    // Messages without an account, or about a deleted one.
    for (kind, data) in
        [("username_taken", json!({ "username": "their.name" })), ("account_deleted", json!({}))]
    {
        let recipient = format!("{kind}@example.test");
        post_message(&app, &json!({ "kind": kind, "recipient": recipient, "data": data })).await;
        let mail = only_mail_to(&app, &recipient).await;
        assert_eq!(mail.text().contains("their.name"), kind == "username_taken", "{}", mail.text());
    }
}

#[tokio::test]
async fn each_link_has_a_token_that_is_stored_hashed() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    for (kind, purpose, page, condition, minutes) in [
        ("password_recovery", "password_reset", "/reset-password", None, 30),
        (
            "email_verification",
            "email_verification",
            "/verify-email",
            Some("UPDATE users SET email_verified_at = NULL WHERE username = $1"),
            24 * 60,
        ),
        ("email_change", "email_change", "/confirm-email", None, 24 * 60),
        (
            "invitation",
            "invitation",
            "/reset-password",
            Some("UPDATE users SET password_hash = NULL WHERE username = $1"),
            7 * 24 * 60,
        ),
    ] {
        let user = app.create_user("linked").await;
        if let Some(sql) = condition {
            change(&app, &user, sql).await;
        }
        let recipient =
            if kind == "email_change" { format!("new.{}", user.email) } else { user.email.clone() };
        let message = json!({ "kind": kind, "recipient": recipient, "user": user.username });
        // Twice: the second one invalidates the first.
        for _ in 0..2 {
            post_message(&app, &message).await;
            app.wait_until_outbox_is_empty().await;
        }

        let mail = app.mail().wait_for(&recipient, 2).await;
        let link = mail[1].link();
        assert_eq!(link.path(), page, "{kind}");
        let token = link.query_pairs().find(|(name, _)| name == "token").expect("a token").1.into_owned();
        assert!(token.len() >= 43, "256 bits: {token}");
        assert_ne!(mail[0].link(), link);
        let rows =
            "SELECT count(*) FROM one_time_tokens JOIN users ON users.id = user_id WHERE username = $1";
        assert_eq!(app.database.count(rows, &user.username).await, 1, "{kind}: the older token is deleted");
        let row = "SELECT purpose || ' ' || mailed_to || ' '
                       || round(extract(epoch FROM expires_at - one_time_tokens.created_at) / 60)
                   FROM one_time_tokens JOIN users ON users.id = user_id WHERE token_hash = sha256($1::bytea)";
        assert_eq!(app.database.text(row, &token).await, format!("{purpose} {recipient} {minutes}"));
    }
}

#[tokio::test]
async fn obsolete_messages_are_not_sent() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let inactive = "UPDATE users SET is_active = false WHERE username = $1";
    let moved = "UPDATE users SET email = 'moved.' || email WHERE username = $1";
    for (kind, sql) in [
        ("password_recovery", inactive),
        ("password_recovery", moved),
        ("email_verification", inactive),
        ("email_verification", moved),
        // An account that an administrator created is verified.
        ("email_verification", "UPDATE users SET name = name WHERE username = $1"),
        ("email_change", inactive),
        // The client that requested it knew a password that has been changed.
        (
            "email_change",
            "UPDATE users SET password_changed_at = now() + interval '1 minute' WHERE username = $1",
        ),
        ("invitation", inactive),
        ("invitation", "UPDATE users SET name = name WHERE username = $1"),
        ("registration_exists", inactive),
        ("registration_exists", moved),
    ] {
        let user = app.create_user("pointless").await;
        if kind == "email_verification" && sql != "UPDATE users SET name = name WHERE username = $1" {
            change(&app, &user, "UPDATE users SET email_verified_at = NULL WHERE username = $1").await;
        }
        if kind == "invitation" && sql == inactive {
            change(&app, &user, "UPDATE users SET password_hash = NULL WHERE username = $1").await;
        }
        change(&app, &user, sql).await;
        let recipient = if kind == "email_change" { format!("new.{}", user.email) } else { user.email };
        post_message(&app, &json!({ "kind": kind, "recipient": recipient, "user": user.username })).await;
        app.wait_until_outbox_is_empty().await;
        assert!(app.mail().recipients().await.is_empty(), "{kind} after {sql}");
    }
    let tokens = "SELECT count(*) FROM one_time_tokens WHERE $1 <> ''";
    assert_eq!(app.database.count(tokens, "any").await, 0);
}

#[tokio::test]
async fn notices_are_sent_to_the_earlier_address() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let user = app.create_user("moved").await;
    change(&app, &user, "UPDATE users SET email = 'moved.' || email, is_active = false WHERE username = $1")
        .await;
    for kind in ["email_changed", "password_changed"] {
        let data = json!({ "new_email": "moved@example.test" });
        let message = json!({ "kind": kind, "recipient": user.email, "user": user.username, "data": data });
        post_message(&app, &message).await;
    }
    app.mail().wait_for(&user.email, 2).await;
}

#[tokio::test]
async fn the_language_is_that_of_the_account_the_request_or_the_service() {
    let app = App::setup().mail(Smtp::Plain).set("DEFAULT_LOCALE", "fr").start().await;
    for (account, request, language) in [
        (Some("de-AT"), Some("en"), "de"),
        (Some("de"), None, "de"),
        (None, Some("de-CH"), "de"),
        // No message is translated into Latin.
        (Some("la"), Some("EN-gb"), "en"),
        (Some("la"), None, "fr"),
        (None, None, "fr"),
    ] {
        let user = app.create_user("polyglot").await;
        let sql = "UPDATE users SET locale = nullif(split_part($1, ' ', 2), '')
                   WHERE username = split_part($1, ' ', 1)";
        let key = format!("{} {}", user.username, account.unwrap_or_default());
        assert_eq!(app.database.execute_for(sql, &key).await, 1);
        let message = json!({
            "kind": "password_recovery", "recipient": user.email, "user": user.username, "locale": request,
        });
        post_message(&app, &message).await;

        let mail = only_mail_to(&app, &user.email).await;
        let (subject, says) = match language {
            "de" => ("Neues Passwort wählen", "Guten Tag"),
            "fr" => ("Choisir un nouveau mot de passe", "Bonjour"),
            _ => ("Choose a new password", "Hello"),
        };
        assert_eq!(mail.subject(), subject, "{account:?} {request:?}");
        assert!(mail.text().contains(says) && mail.html().contains(says), "{}", mail.text());
        assert!(mail.html().contains(&format!("<html lang=\"{language}\">")), "{}", mail.html());
    }
}

#[tokio::test]
async fn a_link_invalidates_one_that_is_created_concurrently() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let user = app.create_user("impatient").await;
    let mut connection = app.database.connect().await;
    let mut other = connection.begin().await.unwrap();
    // Another replica creates a token for the same account at the same time.
    sqlx::query(
        "WITH owner AS (SELECT id FROM users WHERE username = $1 FOR NO KEY UPDATE)
         INSERT INTO one_time_tokens (user_id, purpose, token_hash, expires_at)
         SELECT id, 'password_reset', 'the other one', now() + interval '30 minutes' FROM owner",
    )
    .bind(&user.username)
    .execute(&mut *other)
    .await
    .unwrap();
    post_message(
        &app,
        &json!({ "kind": "password_recovery", "recipient": user.email, "user": user.username }),
    )
    .await;
    app.database.wait_until_blocked(1).await;
    other.commit().await.unwrap();

    app.mail().wait_for(&user.email, 1).await;
    let tokens = "SELECT count(*) FROM one_time_tokens JOIN users ON users.id = user_id WHERE username = $1";
    assert_eq!(app.database.count(tokens, &user.username).await, 1);
}

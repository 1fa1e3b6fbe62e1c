//! The hashes of passwords, and their renewal at login.

use latchkey_tests::app::App;

/// The stored hash of this password has the parameters m=8, t=1, p=1, far below the current ones.
const WEAK_PASSWORD: &str = "abcd1234 abcd1234";

const STORED: &str = "SELECT password_hash FROM users WHERE username = $1";

#[tokio::test]
async fn a_password_is_stored_as_argon2id_with_the_owasp_parameters() {
    let app = App::start().await;
    let user = app.create_user("stored").await;

    let stored = app.database.text(STORED, &user.username).await;

    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
}

#[tokio::test]
async fn a_login_renews_a_hash_of_lower_parameters() {
    let app = App::start().await;
    let user = app.create_user("renewed").await;
    app.database
        .execute_for(
            "UPDATE users SET password_hash = \
             '$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQxMjM0NTY3OA$SCYem55buANYe3vfCds2Or8l1fFIAiAZd2tx5X5e9iI' WHERE username = $1",
            &user.username,
        )
        .await;

    app.post_login(&user.username, "not the password").await.problem(401);
    let before = app.database.text(STORED, &user.username).await;
    assert!(before.contains("$m=8,t=1,p=1$"), "a failed login changes nothing: {before}");

    app.post_login(&user.username, WEAK_PASSWORD).await.ok(200);
    let after = app.database.text(STORED, &user.username).await;
    assert!(after.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{after}");

    app.post_login(&user.username, WEAK_PASSWORD).await.ok(200);
    assert_eq!(app.database.text(STORED, &user.username).await, after, "a current hash is not renewed");
}

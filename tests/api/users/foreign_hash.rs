//! Accounts with a password hash of another system.

use futures::future::join_all;
use latchkey_tests::app::App;

use super::named;

const PASSWORD: &str = "correct horse";
/// Hashes of [`PASSWORD`] by python's bcrypt, argon2-cffi, passlib and Django.
const HASHES: [&str; 6] = [
    "$2b$05$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0m",
    "$2y$04$RgEO/.YkRGCKt91IzdwneOMlxju9ITS8aN5UrHnR96AbXlOzHUZ6S",
    "$argon2i$v=19$m=256,t=3,p=4$jNm/f087ez1T7EvcshLVtQ$zGOeTrUd+Lk1YhQGfDGy8zcv02D0fnTDY9ZoTJhnDbI",
    "$scrypt$ln=10,r=8,p=2$tvYewziH8F7LeS8FYCylNA$wZEJHZWp1jjQsBFaNZsvShJ5ks5f8YOZv+CpmBzAzAU",
    "$pbkdf2-sha512$1000$sXaudU5p7Z1zzhmDEIJQig$fDAJ8IVHl8ZCzueYBEmUR3SyqBjrnuH3Nq8BC71Sb9xl.4XDY9e4bo8bozG8a0eiOOCC6vIuLPcFPWN6mNPueA",
    "pbkdf2_sha256$1000$seasalt0123456789abcd$nySDhAwEcePvv8vS8xyx86PXyKd0JHF0Bb0QYGs0yj4=",
];

const STORED: &str = "SELECT password_hash FROM users WHERE username = $1";

async fn create_with_hash(app: &App, name: &str, hash: &str) {
    let mut body = named(name);
    body["password_hash"] = hash.into();
    let made = app.post_user(&body).await;
    made.ok(201);
    assert!(!made.body.contains(hash), "the response contains the hash");
}

#[tokio::test]
async fn a_foreign_hash_is_verified_at_login_and_then_replaced() {
    let app = App::start().await;
    for (number, hash) in HASHES.into_iter().enumerate() {
        let name = format!("moved-{number}");
        create_with_hash(&app, &name, hash).await;
        app.post_login(&name, "correct horsf").await.problem(401);
        assert_eq!(app.database.text(STORED, &name).await, hash, "a failed login changes nothing");

        app.log_in_as(&name, PASSWORD).await;

        let ours = app.database.text(STORED, &name).await;
        assert!(ours.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{ours}");
        app.log_in_as(&name, PASSWORD).await;
        app.post_login(&name, "correct horsf").await.problem(401);
        assert_eq!(app.database.text(STORED, &name).await, ours);
    }
}

#[tokio::test]
async fn concurrent_first_logins_all_succeed() {
    let app = App::setup().replicas(2).start().await;
    create_with_hash(&app, "popular", HASHES[0]).await;
    let logins = (0..8).map(|number| {
        let form = [("username", "popular"), ("password", PASSWORD)];
        app.servers[number % 2].post(latchkey_tests::app::path::LOGIN).form(&form).send()
    });
    for answer in join_all(logins).await {
        assert_eq!(answer.unwrap().status(), 200);
    }
}

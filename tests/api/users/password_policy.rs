//! Which passwords are accepted (the same rules as for a reset).

use latchkey_tests::app::App;
use serde_json::{Value, json};

fn account(number: usize, password: &str) -> Value {
    json!({
        "username": format!("Willibald{number}"),
        "email": format!("bald.willi{number}@post.example.test"),
        "name": "Willibald von Gluck",
        "password": password,
    })
}

#[tokio::test]
async fn eight_to_256_characters_are_accepted_whatever_they_are() {
    let app = App::start().await;
    let longest: String =
        (0..256).filter_map(|number| char::from_u32(0x4e00 + number * 7919 % 20_000)).collect();
    for (number, password) in [
        "qzvkwxjp",
        "ÄÖÜßäöüé",
        "🐎🔋📎🌰🐎🔋📎🌱",
        "x 4 w v 7",
        "what\u{fffd} is a character",
        longest.as_str(),
    ]
    .into_iter()
    .enumerate()
    {
        let made = app.post_user(&account(number, password)).await;
        assert_eq!(made.status, 201, "{password:.20}: {}", made.body);
        app.log_in_as(&format!("willibald{number}"), password).await;
    }
}

#[tokio::test]
async fn fewer_or_more_are_not() {
    let app = App::start().await;
    for password in ["", "qzvkwxj", "🐎🔋📎🌰🐎🔋📎", &"é".repeat(257)] {
        assert_eq!(
            app.post_user(&account(0, password)).await.invalid_fields(),
            ["password"],
            "{password:.20}"
        );
    }
}

#[tokio::test]
async fn the_common_ones_are_refused() {
    let app = App::start().await;
    for password in [
        "password",
        "Password",
        "password1",
        "12345678",
        "123456789",
        "1234567890",
        "qwertyuiop",
        "iloveyou",
        "sunshine",
        "princess",
        "football",
        "baseball",
        "superman",
        "trustno1",
        "11111111",
        "abcd1234",
    ] {
        assert_eq!(app.post_user(&account(0, password)).await.invalid_fields(), ["password"], "{password}");
    }
}

#[tokio::test]
async fn those_equal_to_the_own_names_are_refused() {
    let app = App::start().await;
    for password in [
        "Willibald0",
        "willibald0",
        "bald.willi0@post.example.test",
        "BALD.WILLI0@post.example.test",
        "bald.willi0",
        "Willibald von Gluck",
    ] {
        assert_eq!(app.post_user(&account(0, password)).await.invalid_fields(), ["password"], "{password}");
    }
    app.post_user(&account(0, "Willibald0 and more")).await.ok(201);
}

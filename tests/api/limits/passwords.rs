//! Limits of wrong passwords at `/login` and `/token`.

use std::collections::BTreeMap;

use futures::future::join_all;
use insta::assert_json_snapshot;
use latchkey_tests::answer::{Answered, admitted};
use latchkey_tests::app::{App, path};

use super::{audited, guess, guess_until_refused, start};

#[tokio::test]
async fn repeated_wrong_passwords_for_an_account_get_429_with_retry_after() {
    let app = start(App::setup()).await;
    let user = app.create_user("guessed").await;

    let (guesses, refused) = guess_until_refused(app.server(), &user.username).await;

    // Half of the 30 per hour, because an account has two names; a third of that as a burst.
    assert_eq!(guesses, 5);
    assert_json_snapshot!(refused.problem(429), { ".instance" => "<request id>" });
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=400).contains(&wait), "{wait}");
    assert!(app.server().metric("latchkey_rate_limited_total", &["login", "account"]).await > 0.0);
    assert!(app.server().metric("latchkey_logins_total", &["limited"]).await > 0.0);
    // The right password is limited too; otherwise an attacker would recognize it.
    app.post_login(&user.username, &user.password).await.problem(429);
    // Both endpoints share the limit.
    let form = [("username", user.username.as_str()), ("password", user.password.as_str())];
    let token = app.post(path::TOKEN).form(&form).answer().await;
    assert_eq!(token.problem(429)["error"], "temporarily_unavailable");
    // Another account has its own limit.
    let other = app.create_user("other").await;
    app.log_in(&other).await;
}

#[tokio::test]
async fn known_and_unknown_names_have_the_same_limit() {
    let app = start(App::setup()).await;
    let user = app.create_user("known").await;
    let mut found = BTreeMap::new();
    for (known, unknown) in [(user.username.as_str(), "nobody"), (user.email.as_str(), "nobody@example.test")]
    {
        for name in [known, unknown] {
            let (guesses, refused) = guess_until_refused(app.server(), name).await;
            let mut problem = refused.problem(429);
            problem.as_object_mut().unwrap().remove("instance");
            found.entry(problem.to_string()).or_insert_with(Vec::new).push((name, guesses));
        }
    }
    // If the user name and the address shared a limit, the second would have been refused immediately.
    let counts: Vec<_> = found.values().flatten().map(|(_, guesses)| *guesses).collect();
    assert_eq!((found.len(), counts), (1, vec![5; 4]), "{found:?}");
}

#[tokio::test]
async fn a_name_has_one_limit_in_any_case() {
    let app = start(App::setup()).await;
    let user = app.create_user("Shouted").await;
    let (guesses, _) = guess_until_refused(app.server(), &user.username).await;
    assert_eq!(guesses, 5);
    guess(app.server(), &user.username.to_uppercase()).await.problem(429);
}

#[tokio::test]
async fn right_passwords_are_never_limited() {
    // A burst of five, for the name and for the network.
    let app = start(App::setup().set("RATE_LIMIT_PER_NETWORK", "15")).await;
    let user = app.create_user("busy").await;
    for _ in 0..8 {
        app.log_in(&user).await;
    }
    // More than the burst: the last two wait for an answer to one of the others, and the server limits that wait.
    let answers = join_all((0..7).map(|_| admitted(|| app.post_login(&user.username, &user.password)))).await;
    for answer in answers {
        answer.ok(200);
    }
}

#[tokio::test]
async fn all_replicas_share_one_limit() {
    let app = start(App::setup().replicas(3)).await;
    let user = app.create_user("spread").await;
    let mut admitted = 0;
    for number in 0..15 {
        let answer = guess(&app.servers[number % 3], &user.username).await;
        admitted += usize::from(answer.status == 401);
    }
    assert_eq!(admitted, 5);
}

#[tokio::test]
async fn concurrent_wrong_passwords_do_not_exceed_the_limit() {
    let app = start(App::setup().replicas(2)).await;
    let user = app.create_user("parallel").await;
    let answers = join_all((0..60).map(|number| {
        let server = &app.servers[number % 2];
        let username = &user.username;
        admitted(move || guess(server, username))
    }))
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 401).count(), 5);
    assert!(answers.iter().all(|answer| [401, 429].contains(&answer.status)));
}

#[tokio::test]
async fn without_redis_each_replica_has_its_own_limit() {
    let mut app = start(App::setup().replicas(2)).await;
    let user = app.create_user("alone").await;
    app.redis.stop();
    for server in &app.servers {
        let (guesses, _) = guess_until_refused(server, &user.username).await;
        assert_eq!(guesses, 5);
    }
    app.redis.start_again();
    let other = app.create_user("again").await;
    app.log_in(&other).await;
}

#[tokio::test]
async fn a_limit_is_audited_once_a_minute_and_without_the_typed_name() {
    let app = start(App::setup()).await;
    let user = app.create_user("told").await;
    guess_until_refused(app.server(), &user.username).await;
    for _ in 0..10 {
        guess(app.server(), &user.username).await.problem(429);
    }
    assert_eq!(audited(&app, "rate_limited").await, 1);
    let row = app
        .database
        .text(
            "SELECT concat_ws(' ', outcome, user_id, detail->>'endpoint', detail->>'scope', address)
             FROM audit_events WHERE kind = $1",
            "rate_limited",
        )
        .await;
    assert_eq!(row, format!("refused {} login account 127.0.0.1", user.id));

    guess_until_refused(app.server(), "NeverLogged-typed-into-the-wrong-field").await;
    let dump = "SELECT string_agg(a::text, ' ') FROM audit_events a WHERE kind = $1";
    assert!(!app.database.text(dump, "rate_limited").await.contains("NeverLogged"));
}

#[tokio::test]
async fn the_keys_in_redis_contain_no_name_and_no_address() {
    let app = start(App::setup()).await;
    let user = app.create_user("hidden").await;
    guess_until_refused(app.server(), &user.username).await;
    let keys = app.redis.keys().await;
    assert!(keys.iter().any(|key| key.starts_with("latchkey:{") && key.contains("}:limit:")), "{keys:?}");
    for key in keys {
        assert!(!key.contains("hidden") && !key.contains("127.0.0.1"), "{key}");
    }
}

#[tokio::test]
async fn the_settings_change_or_disable_the_limits() {
    let app = start(App::setup().set("RATE_LIMIT_PER_ACCOUNT", "60")).await;
    let (guesses, _) = guess_until_refused(app.server(), "sixty").await;
    assert_eq!(guesses, 10);

    let off = start(App::setup().set("RATE_LIMITS_ENABLED", "false")).await;
    for _ in 0..20 {
        guess(off.server(), "any").await.problem(401);
    }
    assert!(!off.redis.keys().await.iter().any(|key| key.contains("limit")));
}

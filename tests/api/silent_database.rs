//! A database that is silent: it answers nothing and closes nothing, as after the loss of a node or a network. Every request
//! is answered in time, and requests succeed again as soon as new connections work.

use std::time::{Duration, Instant};

use futures::future::join_all;
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, SUPERUSER, Session, User, path, superuser_password};
use latchkey_tests::link::Link;
use latchkey_tests::postgres::{Database, Postgres};
use latchkey_tests::smtp::Smtp;
use latchkey_tests::wait;
use serde_json::json;
use tokio::time::timeout;

/// The longest that any answer may take.
const SOON: Duration = Duration::from_secs(3);
/// When requests succeed again after new connections work.
const RECOVERY: Duration = Duration::from_secs(10);
/// What a request has to be given up after: the test is to fail with figures, not to hang.
const GIVE_UP: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Observed {
    what: &'static str,
    begun: Instant,
    took: Duration,
    status: u16,
}

/// An answer that came within [`SOON`]: the expected one, or 503 with everything that a client needs to try again.
fn assert_orderly(answer: &Answer, what: &str) {
    if answer.status == 503 {
        answer.problem(503);
        assert!(answer.headers.contains_key("retry-after"), "{what} without Retry-After: {answer:?}");
    } else {
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
    }
}

async fn observe(
    what: &'static str,
    log: &mut Vec<Observed>,
    request: impl Future<Output = Answer>,
) -> Option<Answer> {
    let begun = Instant::now();
    let answer = timeout(GIVE_UP, request).await.ok();
    let took = begun.elapsed();
    if let Some(answer) = &answer {
        assert_orderly(answer, what);
    }
    log.push(Observed { what, begun, took, status: answer.as_ref().map_or(0, |answer| answer.status) });
    answer.filter(|answer| answer.status == 200)
}

/// One client of each kind, which sends one request after the other until `end`.
async fn use_steadily(app: &App, (user, mut session): (User, Session), end: Instant) -> Vec<Observed> {
    let mut log = Vec::new();
    while Instant::now() < end {
        observe("me", &mut log, app.me(&session.access)).await;
        if let Some(answer) = observe("refresh", &mut log, app.refresh(&session)).await {
            session = Session::from_answer(&answer);
        } else {
            // The answer may have been lost, and with it the new refresh token.
            let login = app.post_login(&user.username, &user.password);
            if let Some(answer) = observe("login", &mut log, login).await {
                session = Session::from_answer(&answer);
            }
        }
        let users = app.get(path::USERS).bearer_auth(&app.superuser().await.access).answer();
        observe("users", &mut log, users).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    log
}

async fn log_in_steadily(app: &App, user: &User, end: Instant) -> Vec<Observed> {
    let mut log = Vec::new();
    while Instant::now() < end {
        observe("login", &mut log, app.post_login(&user.username, &user.password)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    log
}

/// When a statement on a connection of the test took about half as long as a server waits, or longer: the machine has no time
/// for PostgreSQL.
async fn watch_for_starvation(database: &Database, end: Instant) -> Vec<(Instant, Instant)> {
    const LONG: Duration = Duration::from_millis(700);
    let mut starved = Vec::new();
    while Instant::now() < end {
        let begun = Instant::now();
        database.text("SELECT $1", "any").await;
        if begun.elapsed() > LONG {
            starved.push((begun, Instant::now()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    starved
}

#[tokio::test]
async fn requests_succeed_on_new_connections_while_all_open_ones_are_silent() {
    let postgres = Postgres::start();
    let database = postgres.create_database().await;
    let link = Link::to(postgres.port());
    let app = App::setup()
        .timed()
        .set("DATABASE_URL", &database.by_port(link.port()).url())
        .set("RATE_LIMITS_ENABLED", "false")
        .set("SESSIONS_PER_ACCOUNT", "100000")
        .start()
        .await;
    let mut users = Vec::new();
    for _ in 0..8 {
        users.push(app.new_session("silent").await);
    }
    let user = users[0].0.clone();
    let begun = Instant::now();
    let end = begun + Duration::from_secs(2) + RECOVERY + SOON;
    let steady = join_all(users.into_iter().map(|user| use_steadily(&app, user, end)));
    let logins = log_in_steadily(&app, &user, end);
    let silence = async {
        tokio::time::sleep_until((begun + Duration::from_secs(2)).into()).await;
        link.silence_open();
        Instant::now()
    };

    let starvation = watch_for_starvation(&database, end);

    let (logs, logins, silent_at, starved) = tokio::join!(steady, logins, silence, starvation);

    let answers: Vec<_> = logs.into_iter().flatten().chain(logins).collect();
    let slowest = answers.iter().max_by_key(|answer| answer.took).unwrap();
    assert!(slowest.took <= SOON, "the slowest answer of {}: {slowest:?}", answers.len());
    let is_starved = |answer: &Observed| {
        starved.iter().any(|(begun, ended)| answer.begun < *ended && *begun < answer.begun + answer.took)
    };
    let failed_late = answers
        .iter()
        .find(|answer| answer.begun > silent_at + RECOVERY && answer.status != 200 && !is_starved(answer));
    assert!(failed_late.is_none(), "it does not recover: {failed_late:?}");
    assert!(answers.iter().any(|answer| answer.status == 503), "the silence was not noticed");
    for what in ["me", "refresh", "login", "users"] {
        let late = |answer: &&Observed| answer.what == what && answer.begun > silent_at + RECOVERY;
        assert!(
            what == "login" || answers.iter().any(|answer| late(&answer)),
            "no {what} after the recovery"
        );
    }
    assert_eq!(app.server().readiness().await.status, 200, "ready while the old connections are silent");
}

#[tokio::test]
async fn a_database_that_answers_nobody_is_reported_in_time_and_used_again_when_it_answers() {
    let postgres = Postgres::start();
    let database = postgres.create_database().await;
    let link = Link::to(postgres.port());
    let client = [("INTROSPECTION_CLIENT_ID", "api"), ("INTROSPECTION_CLIENT_SECRET", CLIENT_SECRET)];
    let app = App::setup().timed().set("DATABASE_URL", &database.by_port(link.port()).url());
    let app = client.into_iter().fold(app, |app, (name, value)| app.set(name, value)).start().await;
    let (user, session) = app.new_session("silent").await;
    let root = app.superuser().await;
    app.me(&session.access).await.ok(200);

    link.hold_answers();

    for round in 0..3 {
        let answers = every_endpoint(&app, &user, &session, root).await;
        for (what, took, status) in answers {
            assert!(took <= SOON, "{what} took {took:?} ({status}) in round {round}");
            assert!(status == 503 || status == 200 && what == "verify", "{what}: {status} in round {round}");
        }
    }
    for path in ["/readyz", "/status", "/metrics"] {
        let begun = Instant::now();
        let answer = timeout(GIVE_UP, app.server().management(path)).await.unwrap();
        assert!(begun.elapsed() <= SOON, "{path} took {:?}", begun.elapsed());
        assert_eq!(answer.status, if path == "/readyz" { 503 } else { 200 }, "{path}: {answer:?}");
    }

    link.mend();

    let mended = Instant::now();
    wait::until("requests to succeed again", || async {
        let (me, login) =
            tokio::join!(app.me(&session.access), app.post_login(&user.username, &user.password));
        wait::check(me.status == 200 && login.status == 200, (me.status, login.status))
    })
    .await;
    app.server().wait_until_ready().await;
    assert!(mended.elapsed() <= RECOVERY, "it took {:?}", mended.elapsed());
    app.refresh(&session).await.ok(200);
}

#[tokio::test]
async fn requests_are_refused_in_time_while_redis_is_silent_too() {
    let postgres = Postgres::start();
    let database = postgres.create_database().await;
    let link = Link::to(postgres.port());
    let app = App::setup()
        .timed()
        .set("DATABASE_URL", &database.by_port(link.port()).url())
        .set("INTROSPECTION_CLIENT_ID", "api")
        .set("INTROSPECTION_CLIENT_SECRET", CLIENT_SECRET)
        .start()
        .await;
    let (user, session) = app.new_session("silent").await;
    let root = app.superuser().await;

    app.redis.pause();
    link.hold_answers();

    for round in 0..3 {
        for (what, took, status) in every_endpoint(&app, &user, &session, root).await {
            assert!(took <= SOON, "{what} took {took:?} ({status}) in round {round}");
            assert_eq!(status, 503, "{what} in round {round}");
        }
    }

    app.redis.resume();
    link.mend();

    wait::until("requests to succeed again", || async {
        let answer = app.me(&session.access).await;
        wait::check(answer.status == 200, answer.status)
    })
    .await;
}

/// `/me` asks PostgreSQL for the account, and while Redis is silent for the revocation too. Each answer is in time for its own
/// question; together they would take too long.
#[tokio::test]
async fn a_request_whose_answers_are_all_late_has_one_deadline() {
    let postgres = Postgres::start();
    let database = postgres.create_database().await;
    let link = Link::to(postgres.port());
    let app = App::setup().timed().set("DATABASE_URL", &database.by_port(link.port()).url()).start().await;
    let (_, session) = app.new_session("late").await;
    app.redis.pause();
    wait::until("PostgreSQL to answer the checks", || async {
        let status = app.server().status().await;
        wait::check(status["revocation"]["mode"] == "postgres", status)
    })
    .await;
    app.me(&session.access).await.ok(200);

    link.hold_answers();
    let begun = Instant::now();
    let late_answers = async {
        for late in [Duration::from_millis(1_200), Duration::from_millis(2_200)] {
            tokio::time::sleep_until((begun + late).into()).await;
            link.release();
        }
    };
    let (answer, ()) = tokio::join!(timeout(GIVE_UP, app.me(&session.access)), late_answers);

    let took = begun.elapsed();
    answer.unwrap().problem(503);
    assert!(took <= SOON, "it took {took:?}");
    app.redis.resume();
    link.mend();
}

const CLIENT_SECRET: &str = "NeverLogged-0123456789abcdef0123456789abcdef";

async fn every_endpoint(
    app: &App,
    user: &User,
    session: &Session,
    root: &Session,
) -> Vec<(&'static str, Duration, u16)> {
    let form = [("username", SUPERUSER.to_owned()), ("password", superuser_password())];
    let token = [("token", session.access.clone())];
    let credentials =
        json!({ "current_password": user.password, "new_password": "another NeverLogged phrase" });
    let requests = [
        ("me", app.get(path::ME).bearer_auth(&session.access)),
        ("verify", app.get(path::VERIFY).bearer_auth(&session.access)),
        ("sessions", app.get(path::SESSIONS).bearer_auth(&session.access)),
        ("users", app.get(path::USERS).bearer_auth(&root.access)),
        ("audit", app.get("/api/v1/audit").bearer_auth(&root.access)),
        ("login", app.post(path::LOGIN).form(&form)),
        ("token", app.post(path::TOKEN).form(&form)),
        (
            "refresh",
            app.post(path::REFRESH).bearer_auth(&session.access).json(&json!({ "token": session.refresh })),
        ),
        ("introspect", app.post(path::INTROSPECT).basic_auth("api", Some(CLIENT_SECRET)).form(&token)),
        ("password", app.post(path::MY_PASSWORD).bearer_auth(&session.access).json(&credentials)),
        ("logout-all", app.post(path::LOGOUT_ALL).bearer_auth(&session.access)),
        ("logout", app.post(path::LOGOUT).bearer_auth(&session.access)),
        (
            "create",
            app.post(path::USERS).bearer_auth(&root.access).json(&json!({
            "username": "nobody.new", "email": "nobody.new@example.test", "name": "Nobody",
        "password": "some NeverLogged phrase" })),
        ),
    ];
    join_all(requests.into_iter().map(|(what, request)| async move {
        let begun = Instant::now();
        let answer = timeout(GIVE_UP, request.answer()).await;
        let took = begun.elapsed();
        let status = answer.map_or(0, |answer| {
            if answer.status == 503 {
                assert_orderly(&answer, what);
            }
            answer.status
        });
        (what, took, status)
    }))
    .await
}

#[tokio::test]
async fn background_tasks_use_new_connections_as_well() {
    let postgres = Postgres::start();
    let database = postgres.create_database().await;
    let link = Link::to(postgres.port());
    let url = database.by_port(link.port()).url();
    let app = App::setup().timed().set("DATABASE_URL", &url).mail(Smtp::Plain).start().await;
    let user = app.create_user("mailed").await;

    // Idle connections, those of the replica's own tasks among them.
    link.silence_open();

    let silent_at = Instant::now();
    wait::until("a link to be requested", || async {
        let begun = Instant::now();
        let answer = app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await;
        assert!(begun.elapsed() <= SOON, "an answer took {:?}", begun.elapsed());
        wait::check(answer.status == 200, answer)
    })
    .await;
    assert!(silent_at.elapsed() <= RECOVERY, "it took {:?}", silent_at.elapsed());
    app.mail().wait_for(&user.email, 1).await;
    let pool = app.server().status().await["database_pool"].clone();
    assert!(pool["open"].as_i64() <= pool["size"].as_i64(), "{pool}");
}

#[tokio::test]
async fn a_server_that_starts_while_the_database_is_silent_becomes_ready_afterwards() {
    let postgres = Postgres::start();
    let database = postgres.create_database().await;
    let link = Link::to(postgres.port());
    link.hold_answers();
    let app =
        App::setup().timed().set("DATABASE_URL", &database.by_port(link.port()).url()).start_parts().await;
    let begun = Instant::now();
    let answer = app.server().readiness().await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(begun.elapsed() <= SOON, "/readyz took {:?}", begun.elapsed());

    link.mend();

    let mended = Instant::now();
    app.server().wait_until_ready().await;
    assert!(mended.elapsed() <= RECOVERY, "it took {:?}", mended.elapsed());
    app.log_in_as(SUPERUSER, &superuser_password()).await;
}

//! The round trips to PostgreSQL and Redis that the most frequent requests need: a number for each, so that they cannot grow
//! unnoticed.
//!
//! A proxy on the wire counts them, so that `BEGIN`, `COMMIT` and commands outside the driver count too. Not counted is what
//! the server does without a request, and the preparation of a statement on a new connection.

use std::collections::BTreeSet;
use std::time::Duration;

use latchkey_tests::answer::{Answer, Answered as _};
use latchkey_tests::app::{App, Session, User, path};
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::round_trips::Recorder;
use latchkey_tests::server::Server;
use serde_json::json;

/// Requests of one kind. What the server does in the background falls into a few of them.
const REQUESTS: usize = 15;
/// Long enough for everything that the server does all the time.
const IDLE: Duration = Duration::from_secs(5);

const MANY_DEVICES: &str = "INSERT INTO devices (token_hash, user_id)
    SELECT sha256(n::text::bytea), id FROM users, generate_series(1, 110) AS n WHERE username = $1";
const DEVICES: &str = "SELECT count(*) FROM devices JOIN users ON users.id = user_id WHERE username = $1";
const MANY_SESSIONS: &str = "INSERT INTO sessions (id, user_id, access_tokens_expire_at, expires_at)
    SELECT gen_random_uuid(), id, now() + interval '7 days', now() + interval '1 year'
    FROM users, generate_series(1, 100) AS n WHERE username = $1";
const SESSIONS: &str = "SELECT count(*) FROM sessions JOIN users ON users.id = user_id
    WHERE username = $1 AND ended_at IS NULL";

/// The round trips of one request.
#[derive(Debug)]
struct Trips {
    postgres: Vec<String>,
    redis: Vec<String>,
}

struct Recorded {
    app: App,
    postgres: Recorder,
    redis: Recorder,
    /// What the server sends without a request.
    background: BTreeSet<String>,
}

impl Recorded {
    async fn start() -> Self {
        let mut app = App::setup().clients(&[]).start().await;
        let postgres = Recorder::postgres(app.database.port());
        let redis = Recorder::redis(app.redis.port());
        app.variables.insert("DATABASE_URL".to_owned(), app.database.by_port(postgres.port()).url());
        app.variables.insert("REDIS_URL".to_owned(), app.redis.url_through(redis.port()));
        app.servers[0] = Server::start(&app.variables).await;
        app.server().wait_until_ready().await;
        app.server().wait_for_revocation_mode("redis").await;
        // The replica announces it once more.
        let (_, session) = app.new_session("ended").await;
        app.log_out(&session).await.ok(200);
        let mut recorded = Self { app, postgres, redis, background: BTreeSet::new() };
        recorded.take();
        tokio::time::sleep(IDLE).await;
        let Trips { postgres, redis } = recorded.take();
        recorded.background = postgres.into_iter().chain(redis).collect();
        recorded
    }

    /// The round trips since the last call.
    fn take(&self) -> Trips {
        let counts = |trip: &String| {
            !trip.is_empty() && !trip.starts_with("prepare ") && !self.background.contains(trip)
        };
        let filtered = |recorder: &Recorder| recorder.take().into_iter().filter(counts).collect();
        Trips { postgres: filtered(&self.postgres), redis: filtered(&self.redis) }
    }

    /// The round trips of a request of a kind. The background only adds some, to more of the requests on a busy machine; a
    /// command that a request leaves behind belongs to the next one. So the answer is a low quantile.
    async fn measure(&self, mut request: impl AsyncFnMut(&App)) -> Trips {
        let mut found = Vec::new();
        // The first ones prepare their statements.
        for number in 0..REQUESTS + 3 {
            self.take();
            request(&self.app).await;
            let trips = self.take();
            if number >= 3 {
                found.push(trips);
            }
        }
        found.sort_by_key(|trips| trips.postgres.len() + trips.redis.len());
        found.swap_remove(REQUESTS / 4)
    }
}

/// Compares the numbers of round trips to PostgreSQL and Redis.
#[track_caller]
#[expect(clippy::print_stdout, reason = "the counts, also of a test that passes")]
fn assert_trips(what: &str, trips: &Trips, (postgres, redis): (usize, usize), failures: &mut Vec<String>) {
    println!("{what}: PostgreSQL {}, Redis {}", trips.postgres.len(), trips.redis.len());
    // Exact, so that it shows if a round trip of a request is taken for one of the background.
    if (trips.postgres.len(), trips.redis.len()) != (postgres, redis) {
        failures.push(format!("{what}: {postgres} and {redis} expected, found {trips:#?}"));
    }
}

async fn post_token(app: &App, form: &[(&str, &str)]) -> Answer {
    app.post(path::TOKEN).form(form).answer().await
}

async fn post_login_with_cookie(app: &App, user: &User, cookie: &str) -> Answer {
    let form = [("username", user.username.as_str()), ("password", user.password.as_str())];
    app.post(path::LOGIN).header("cookie", cookie).form(&form).answer().await
}

/// The cookie by which the browser is known at its next login.
fn device_cookie(answer: &Answer) -> String {
    let cookies = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    let cookie =
        cookies.filter_map(|text| text.split(';').next()).find(|pair| pair.starts_with("latchkey_device="));
    cookie.expect("a device cookie").to_owned()
}

#[tokio::test]
async fn frequent_requests_need_few_round_trips() {
    let recorded = Recorded::start().await;
    let app = &recorded.app;
    let mut failures = Vec::new();

    let user = app.create_user("counted").await;
    // A correct password gives back what the attempt took from the rate limits.
    let trips = recorded.measure(async |app| drop(app.log_in(&user).await)).await;
    assert_trips("login by a username", &trips, (2, 2), &mut failures);
    let trips = recorded.measure(async |app| drop(app.log_in_as(&user.email, &user.password).await)).await;
    assert_trips("login by an address", &trips, (2, 2), &mut failures);

    let user = app.create_user("browser").await;
    let cookie = device_cookie(&app.post_login(&user.username, &user.password).await);
    let trips =
        recorded.measure(async |app| drop(post_login_with_cookie(app, &user, &cookie).await.ok(200))).await;
    assert_trips("login by a known browser", &trips, (2, 2), &mut failures);

    let user = app.create_user("program").await;
    let form = [("username", user.username.as_str()), ("password", user.password.as_str())];
    let trips = recorded.measure(async |app| drop(post_token(app, &form).await.ok(200))).await;
    assert_trips("login of a program", &trips, (2, 2), &mut failures);

    // Each login forgets a device.
    let user = app.create_user("devices").await;
    assert_eq!(app.database.execute_for(MANY_DEVICES, &user.username).await, 110);
    let trips = recorded.measure(async |app| drop(app.log_in(&user).await)).await;
    assert_trips("login beyond the limit of devices", &trips, (2, 2), &mut failures);
    assert_eq!(app.database.count(DEVICES, &user.username).await, 100);

    // Each login ends a session, and announces the end.
    let user = app.create_user("sessions").await;
    assert_eq!(app.database.execute_for(MANY_SESSIONS, &user.username).await, 100);
    let trips = recorded.measure(async |app| drop(app.log_in(&user).await)).await;
    assert_trips("login beyond the limit of sessions", &trips, (3, 3), &mut failures);
    assert_eq!(app.database.count(SESSIONS, &user.username).await, 100);

    // Redis is asked while PostgreSQL works: it may know an end that a failover of the database lost.
    let (_, mut session) = app.new_session("refreshing").await;
    let trips =
        recorded.measure(async |app| session = Session::from_answer(&app.refresh(&session).await)).await;
    assert_trips("refresh", &trips, (1, 1), &mut failures);
    let trips = recorded
        .measure(async |app| {
            let form = [("grant_type", "refresh_token"), ("refresh_token", session.refresh.as_str())];
            let body = post_token(app, &form).await.ok(200);
            session.refresh = body["refresh_token"].as_str().unwrap().to_owned();
        })
        .await;
    assert_trips("refresh of a program", &trips, (1, 1), &mut failures);

    let trips = recorded.measure(async |app| drop(app.me(&session.access).await.ok(200))).await;
    assert_trips("/me", &trips, (1, 1), &mut failures);
    let trips = recorded
        .measure(async |app| {
            let answer = app.get(path::VERIFY).bearer_auth(&session.access).answer().await;
            assert_eq!(answer.status, 200, "{answer:?}");
        })
        .await;
    assert_trips("/verify", &trips, (1, 1), &mut failures);

    let client = TestClient::new("orders", &["orders:read"]);
    let trips = recorded.measure(async |app| drop(client.token_response(app, &[]).await)).await;
    assert_trips("token of an unknown client", &trips, (1, 1), &mut failures);
    app.register(std::slice::from_ref(&client)).await;
    let trips = recorded.measure(async |app| drop(client.token(app).await)).await;
    assert_trips("token of a client", &trips, (0, 0), &mut failures);
    let token = client.token(app).await;
    let trips = recorded
        .measure(async |app| {
            let answer = app.get(path::VERIFY).bearer_auth(&token).answer().await;
            assert_eq!(answer.status, 200, "{answer:?}");
        })
        .await;
    assert_trips("/verify of a client", &trips, (0, 1), &mut failures);

    // One more statement reads the groups of the person, and the scopes of the session.
    let client = TestClient::new("shop", &["orders:read", "groups"])
        .with("grant_types", json!(["password", "refresh_token"]));
    app.register(std::slice::from_ref(&client)).await;
    let user = app.create_user("shopping").await;
    let post = async |app: &App, form: &[(&str, &str)]| {
        let request = app.post(path::TOKEN).basic_auth("shop", Some(&client.secret)).form(form);
        request.answer().await.ok(200)
    };
    let form = [("username", user.username.as_str()), ("password", user.password.as_str())];
    let mut refresh = String::new();
    let trips = recorded
        .measure(async |app| {
            refresh = post(app, &form).await["refresh_token"].as_str().unwrap().to_owned();
        })
        .await;
    assert_trips("login through a client with groups", &trips, (3, 2), &mut failures);
    let without = [form[0], form[1], ("scope", "orders:read")];
    let trips = recorded.measure(async |app| drop(post(app, &without).await)).await;
    assert_trips("login through a client without groups", &trips, (2, 2), &mut failures);
    let trips = recorded
        .measure(async |app| {
            let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
            refresh = post(app, &form).await["refresh_token"].as_str().unwrap().to_owned();
        })
        .await;
    assert_trips("refresh through a client with groups", &trips, (2, 1), &mut failures);

    let user = app.create_user("leaving").await;
    let mut sessions = Vec::new();
    for _ in 0..REQUESTS + 3 {
        sessions.push(app.log_in(&user).await);
    }
    let trips = recorded.measure(async |app| drop(app.log_out(&sessions.pop().unwrap()).await.ok(200))).await;
    assert_trips("logout", &trips, (1, 1), &mut failures);

    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

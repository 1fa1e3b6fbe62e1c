//! What checking a token costs Redis and PostgreSQL: at most one command and one statement, which concurrent requests share.

use std::ops::Sub;

use futures::stream::{self, StreamExt as _};
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::query_plans::{log_plans, logged_plans};

use crate::auth::clients::{CLIENT_ID, CLIENT_SECRET, with_client};

/// Requests of one kind, one after the other.
const SEQUENTIAL: usize = 20;
/// Requests of one kind, [`AT_A_TIME`].
const CONCURRENT: usize = 400;
const AT_A_TIME: usize = 50;

/// The statement that reads profiles.
const PROFILES: &str = "FROM users WHERE id = ANY($1)";
/// The statement that checks revocation without Redis.
const SESSION: &str = "FROM sessions WHERE id = $1";

/// `/verify` with a client's token, which reads no profile.
const CLIENT: &str = "client";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    redis_reads: usize,
    profile_statements: usize,
    session_statements: usize,
}

impl Sub for Cost {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            redis_reads: self.redis_reads - before.redis_reads,
            profile_statements: self.profile_statements - before.profile_statements,
            session_statements: self.session_statements - before.session_statements,
        }
    }
}

async fn cost(app: &App) -> Cost {
    let text: String = redis::from_redis_value(app.redis.run("INFO commandstats").await).unwrap();
    let reads = text.lines().find_map(|line| line.strip_prefix("cmdstat_mget:calls="));
    let reads = reads.and_then(|rest| rest.split(',').next()).map_or(0, |calls| calls.parse().unwrap());
    let plans = logged_plans(app.postgres.as_ref().unwrap(), &app.database).await;
    let count = |part: &str| plans.iter().filter(|plan| plan.query.contains(part)).count();
    Cost { redis_reads: reads, profile_statements: count(PROFILES), session_statements: count(SESSION) }
}

async fn send(app: &App, what: &str, access: &str) -> Answer {
    let request = match what {
        path::INTROSPECT => {
            let request = app.post(path::INTROSPECT).basic_auth(CLIENT_ID, Some(CLIENT_SECRET));
            request.form(&[("token", access)])
        }
        CLIENT => app.get(path::VERIFY).bearer_auth(access),
        other => app.get(other).bearer_auth(access),
    };
    request.answer().await
}

#[tokio::test]
async fn concurrent_checks_of_tokens_share_their_round_trips() {
    let client = TestClient::new("orders", &[]);
    let mut app = with_client().own_postgres().clients(std::slice::from_ref(&client)).start().await;
    log_plans(&app.database).await;
    app.restart(0).await;
    app.server().wait_for_revocation_mode("redis").await;
    let (_, session) = app.new_session("reader").await;

    let of_client = client.token(&app).await;
    for what in [path::ME, path::VERIFY, path::INTROSPECT, CLIENT] {
        let access = if what == CLIENT { &of_client } else { &session.access };
        assert_some_round(what, async || one_after_the_other(&app, what, access).await).await;
        assert_some_round(what, async || concurrently(&app, what, access).await).await;
    }
}

/// Asserts that a round of requests costs what it should. On a machine that is busy with other work a check may be repeated,
/// because the response took long, hence several attempts.
async fn assert_some_round(what: &str, mut round: impl AsyncFnMut() -> Result<(), Cost>) {
    const ATTEMPTS: usize = 5;
    let mut costs = Vec::new();
    while let Err(cost) = round().await {
        costs.push(cost);
        assert!(costs.len() < ATTEMPTS, "{what}: {costs:?}");
    }
}

async fn one_after_the_other(app: &App, what: &str, access: &str) -> Result<(), Cost> {
    let before = cost(app).await;
    for _ in 0..SEQUENTIAL {
        assert_eq!(send(app, what, access).await.status, 200, "{what}");
    }
    let cost = cost(app).await - before;
    let profile_statements = if what == CLIENT { 0 } else { SEQUENTIAL };
    let expected = Cost { redis_reads: SEQUENTIAL, profile_statements, session_statements: 0 };
    if cost == expected { Ok(()) } else { Err(cost) }
}

async fn concurrently(app: &App, what: &str, access: &str) -> Result<(), Cost> {
    let before = cost(app).await;
    let requests = stream::iter(0..CONCURRENT).map(|_| send(app, what, access));
    let answers: Vec<_> = requests.buffer_unordered(AT_A_TIME).collect().await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{what}");
    let cost = cost(app).await - before;
    let is_shared = cost.redis_reads <= CONCURRENT / 2 && cost.profile_statements <= CONCURRENT / 2;
    if is_shared && cost.session_statements == 0 { Ok(()) } else { Err(cost) }
}

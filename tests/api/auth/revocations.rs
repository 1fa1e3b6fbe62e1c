//! The feed of revocations: complete, signed, for clients with the scope only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::future::join_all;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, ISSUER, Session, Setup, path};
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::forged_tokens::claim;
use latchkey_tests::wait;
use serde_json::{Value, json};

pub const FEED: &str = "/api/v1/auth/revocations";
const SCOPE: &str = "revocations.read";

/// A verifier that follows the feed.
struct Reader {
    client: TestClient,
    token: String,
    cursor: Option<String>,
    /// `exp` by `id`.
    revoked: BTreeMap<String, i64>,
}

fn gateway() -> TestClient {
    TestClient::new("gateway", &[SCOPE])
}

impl Reader {
    async fn start(setup: Setup) -> (App, Self) {
        let client = gateway();
        let app = setup.clients(std::slice::from_ref(&client)).start().await;
        let token = client.token(&app).await;
        (app, Self { client, token, cursor: None, revoked: BTreeMap::new() })
    }

    async fn ask(&self, app: &App, replica: usize, query: &str) -> Answer {
        let after = self.cursor.as_ref().map(|cursor| format!("&after={cursor}")).unwrap_or_default();
        let path = format!("{FEED}?{query}{after}");
        app.servers[replica].get(&path).bearer_auth(&self.token).answer().await
    }

    /// Takes what a page says, after checking its signature with the published keys.
    async fn take(&mut self, app: &App, answer: &Answer) -> Value {
        let page = verified(app, answer).await;
        assert_eq!(page["after"], json!(self.cursor), "a page is the answer to one question");
        if page["reset"] == true {
            self.revoked.clear();
        }
        for entry in page["revoked"].as_array().expect("a list") {
            let id = entry["id"].as_str().expect("an id").to_owned();
            self.revoked.insert(id, entry["exp"].as_i64().expect("a time"));
        }
        self.cursor = Some(page["cursor"].as_str().expect("a cursor").to_owned());
        page
    }

    /// Reads pages until there is none left, and returns the last one.
    async fn catch_up(&mut self, app: &App, replica: usize) -> Value {
        loop {
            let answer = self.ask(app, replica, "limit=1000").await;
            let page = self.take(app, &answer).await;
            if page["more"] == false {
                return page;
            }
        }
    }

    fn knows(&self, id: &Value) -> bool {
        self.revoked.contains_key(id.as_str().expect("an id"))
    }
}

/// The claims of a page.
async fn verified(app: &App, answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    let keys: JwkSet = serde_json::from_value(app.get(path::JWKS).answer().await.json()).unwrap();
    let header = decode_header(&answer.body).unwrap();
    assert_eq!((header.typ.as_deref(), header.alg), (Some("revocations+jwt"), Algorithm::ES256));
    let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).expect("a published key")).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_required_spec_claims(&["iss"]);
    validation.set_issuer(&[ISSUER]);
    decode::<Value>(&answer.body, &key, &validation).unwrap().claims
}

#[tokio::test]
async fn a_page_lists_what_was_revoked_and_is_no_access_token() {
    let (app, mut reader) = Reader::start(App::setup()).await;
    let (_, session) = app.new_session("out").await;
    app.log_out(&session).await.ok(200);
    let other = reader.client.token(&app).await;
    let revoke = app.post(path::REVOKE).basic_auth("gateway", Some(&reader.client.secret));
    assert_eq!(revoke.form(&[("token", &other)]).answer().await.status, 200);

    let before = chrono::Utc::now().timestamp();
    let answer = reader.ask(&app, 0, "").await;
    assert_eq!(answer.header("content-type"), Some("application/revocations+jwt"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let page = reader.take(&app, &answer).await;
    assert_eq!((&page["reset"], &page["more"], &page["accounts"]), (&json!(true), &json!(false), &json!([])));
    assert!(page["iat"].as_i64().unwrap() >= before, "{page}");
    assert!(page["tokens_valid_from"].as_i64().unwrap() <= before, "{page}");
    for name in ["sub", "aud", "exp", "client_id", "scope"] {
        assert!(page.get(name).is_none(), "{name}: {page}");
    }
    for (token, name) in [(&session.access, "sid"), (&other, "jti")] {
        let until = reader.revoked[claim(token, name).as_str().unwrap()];
        assert!(until >= claim(token, "exp").as_i64().unwrap(), "{name} {until}");
    }
    assert!(!reader.knows(&claim(&reader.token, "jti")));
    app.me(&answer.body).await.problem(401);
    app.get(path::VERIFY).bearer_auth(&answer.body).answer().await.problem(401);

    let answer = reader.ask(&app, 0, "").await;
    let page = reader.take(&app, &answer).await;
    assert_eq!((&page["reset"], &page["revoked"]), (&json!(false), &json!([])));
}

#[tokio::test]
async fn the_feed_is_only_for_clients_with_the_scope() {
    let (api, plain) = (json!(["https://api.example.test"]), TestClient::new("plain", &["revocations"]));
    let elsewhere = TestClient::new("elsewhere", &[SCOPE]).with("audiences", api);
    let clients = [gateway(), plain.clone(), elsewhere.clone()];
    let app = App::setup().clients(&clients).start().await;
    let ask =
        async |token: &str, query: &str| app.get(&format!("{FEED}{query}")).bearer_auth(token).answer().await;
    for token in [&plain.token(&app).await, &app.superuser().await.access] {
        for query in ["", "?wait=x"] {
            let answer = ask(token, query).await;
            answer.problem(403);
            assert!(answer.header("www-authenticate").unwrap().contains("insufficient_scope"), "{answer:?}");
        }
    }
    app.get(FEED).answer().await.problem(401);
    ask(&elsewhere.token(&app).await, "").await.problem(401);
    ask(&app.superuser().await.refresh, "").await.problem(401);
    let token = clients[0].token(&app).await;
    for query in ["?after=x", "?limit=0", "?limit=1001", "?wait=31", "?wait=-1", "?cursor=x"] {
        ask(&token, query).await.problem(422);
    }
    let revoke = app.post(path::REVOKE).basic_auth("gateway", Some(&clients[0].secret));
    assert_eq!(revoke.form(&[("token", &token)]).answer().await.status, 200);
    ask(&token, "").await.problem(401);
}

#[tokio::test]
async fn a_hundred_thousand_revocations_come_in_pages() {
    const MANY: &str = "INSERT INTO revocations (session_id, expires_at)
        SELECT gen_random_uuid(), now() + interval '1 day' FROM generate_series(1, 100000)";
    // Expired, but kept for clocks that differ; and expired by every clock.
    const OLD: &str = "INSERT INTO revocations (session_id, expires_at)
        VALUES (gen_random_uuid(), now() - interval '1 minute'), (gen_random_uuid(), now() - interval '2 days')";
    let (app, mut reader) = Reader::start(App::setup().replicas(2)).await;
    app.database.execute(MANY).await;
    app.database.execute(OLD).await;
    let (mut pages, mut listed) = (0, 0);
    loop {
        let answer = reader.ask(&app, pages % 2, "").await;
        let page = reader.take(&app, &answer).await;
        let entries = page["revoked"].as_array().unwrap().len();
        assert!(entries <= 1_000, "{entries}");
        (pages, listed) = (pages + 1, listed + entries);
        assert_eq!(page["reset"], pages == 1);
        if page["more"] == false {
            break;
        }
    }
    assert_eq!((listed, reader.revoked.len()), (100_001, 100_001));
    let expected = app.database.count("SELECT count(*) FROM revocations WHERE $1 <> ''", "any").await;
    assert_eq!(expected, 100_002);
}

#[tokio::test]
async fn a_waiting_request_is_answered_by_a_logout_at_another_replica() {
    let (app, mut reader) = Reader::start(App::setup().replicas(2)).await;
    let (_, session) = app.new_session("out").await;
    reader.catch_up(&app, 1).await;
    let begun = Instant::now();
    let nothing = reader.ask(&app, 1, "wait=1").await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "it did not wait");
    assert_eq!(reader.take(&app, &nothing).await["revoked"], json!([]));

    let begun = Instant::now();
    let log_out = async {
        app.log_out_at(0, &session).await.ok(200);
    };
    let (answer, ()) = tokio::join!(reader.ask(&app, 1, "wait=30"), log_out);
    let took = begun.elapsed();
    reader.take(&app, &answer).await;
    assert!(reader.knows(&claim(&session.access, "sid")), "{:?}", reader.revoked);
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test]
async fn the_metrics_count_the_pages_and_the_requests_that_wait() {
    let (app, mut reader) = Reader::start(App::setup()).await;
    let assert_counted = async |reset: u32, changes: u32, unchanged: u32| {
        let metrics = app.server().metrics().await;
        for (kind, count) in [("reset", reset), ("changes", changes), ("unchanged", unchanged)] {
            let line = format!("latchkey_revocation_feed_pages_total{{kind=\"{kind}\"}} {count}\n");
            assert!(metrics.contains(&line), "{line}{metrics}");
        }
    };
    let wait_until_waiting = async |count: u32| {
        let line = format!("latchkey_revocation_feed_readers{{state=\"waiting\"}} {count}\n");
        wait::until(&line, async || {
            let metrics = app.server().metrics().await;
            wait::check(metrics.contains(&line), metrics)
        })
        .await;
    };
    let (_, session) = app.new_session("out").await;
    let (_, other) = app.new_session("other").await;
    assert_counted(0, 0, 0).await;
    reader.catch_up(&app, 0).await;
    assert_counted(1, 0, 0).await;
    reader.catch_up(&app, 0).await;
    assert_counted(1, 0, 1).await;
    app.log_out(&session).await.ok(200);
    reader.catch_up(&app, 0).await;
    assert_counted(1, 1, 1).await;

    wait_until_waiting(0).await;
    let log_out = async {
        wait_until_waiting(1).await;
        app.log_out(&other).await.ok(200);
    };
    let (answer, ()) = tokio::join!(reader.ask(&app, 0, "wait=30"), log_out);
    reader.take(&app, &answer).await;
    wait_until_waiting(0).await;
    assert_counted(1, 2, 1).await;
    app.get(FEED).answer().await.problem(401);
    assert_counted(1, 2, 1).await;
}

/// Transactions that begin in one order and commit in another.
#[tokio::test]
async fn a_revocation_that_is_committed_late_is_not_missed() {
    let (app, mut reader) = Reader::start(App::setup()).await;
    let insert = "INSERT INTO revocations (session_id, expires_at)
        VALUES (gen_random_uuid(), now() + interval '1 day')";
    let mut early = app.database.begin(insert).await;
    let mut late = app.database.begin(insert).await;
    sqlx::query("COMMIT").execute(&mut late).await.unwrap();
    reader.catch_up(&app, 0).await;
    assert_eq!(reader.revoked.len(), 1);
    sqlx::query("COMMIT").execute(&mut early).await.unwrap();
    reader.catch_up(&app, 0).await;
    assert_eq!(reader.revoked.len(), 2);
}

#[tokio::test]
async fn nothing_is_missed_while_many_sessions_end() {
    /// Commits after a random time.
    const REVOKE: &str = "WITH revoked AS (
            INSERT INTO revocations (session_id, expires_at)
            VALUES (gen_random_uuid(), now() + interval '1 day') RETURNING session_id)
        SELECT session_id::text FROM revoked, pg_sleep(random() * 0.05)";
    const WRITERS: usize = 8;
    let (app, mut reader) = Reader::start(App::setup().replicas(2)).await;
    let app = &app;
    let user = app.create_user("busy").await;
    let mut sessions: Vec<Session> = Vec::new();
    for _ in 0..12 {
        sessions.push(app.log_in(&user).await);
    }
    let write = async || {
        let mut connection = app.database.connect().await;
        let mut written = Vec::new();
        for _ in 0..40 {
            written.push(sqlx::query_scalar::<_, String>(REVOKE).fetch_one(&mut connection).await.unwrap());
        }
        written
    };
    let log_out = async || {
        let ends = sessions.iter().enumerate().map(|(number, session)| async move {
            app.log_out_at(number % 2, session).await.ok(200);
            claim(&session.access, "sid").as_str().unwrap().to_owned()
        });
        join_all(ends).await
    };
    let mut expected: BTreeSet<String> = BTreeSet::new();
    {
        let mut writing =
            Box::pin(async { tokio::join!(join_all((0..WRITERS).map(|_| write())), log_out()) });
        let mut replica = 0;
        loop {
            tokio::select! {
                (written, ended) = &mut writing => {
                    expected.extend(written.into_iter().flatten().chain(ended));
                    break;
                }
                answer = reader.ask(app, replica, "limit=7&wait=1") => {
                    reader.take(app, &answer).await;
                }
            }
            replica = 1 - replica;
        }
    }
    assert_eq!(expected.len(), WRITERS * 40 + 12);
    // An answer that was on its way when the last one ended is lost, as with a connection.
    reader.catch_up(app, 0).await;
    let known: BTreeSet<_> = reader.revoked.keys().cloned().collect();
    let missed: Vec<_> = expected.difference(&known).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

#[tokio::test]
async fn the_end_of_very_many_sessions_is_listed_as_one_until_they_are_listed() {
    const MANY: &str = "INSERT INTO sessions (id, user_id, access_tokens_expire_at, expires_at)
        SELECT gen_random_uuid(), users.id, now() + interval '7 days', now() + interval '1 year'
        FROM users, generate_series(1, 1500) WHERE username = $1";
    let (app, mut reader) = Reader::start(App::setup()).await;
    let (user, session) = app.new_session("many").await;
    let other = app.log_in(&user).await;
    app.database.execute_for(MANY, &user.username).await;
    reader.catch_up(&app, 0).await;
    app.post(path::LOGOUT_ALL).bearer_auth(&session.access).answer().await.ok(200);

    let page = reader.catch_up(&app, 0).await;
    let is_covered = |account: &Value| {
        account["sub"].as_str() == Some(&*user.id.to_string())
            && account["issued_until"].as_i64() >= claim(&other.access, "iat").as_i64()
    };
    let covered = page["accounts"].as_array().unwrap().iter().any(is_covered);
    assert!(covered || reader.knows(&claim(&other.access, "sid")), "{page}");
    let cutoffs = "SELECT count(*) FROM session_cutoffs WHERE $1 <> ''";
    wait::until_equal("the cutoffs", 0, || app.database.count(cutoffs, "any")).await;
    assert_eq!(reader.catch_up(&app, 0).await["accounts"], json!([]));
    assert!(reader.knows(&claim(&other.access, "sid")) && reader.revoked.len() >= 1_502);
}

#[tokio::test]
async fn a_removed_credential_is_listed() {
    let (app, mut reader) = Reader::start(App::setup()).await;
    let gone = TestClient::new("gone", &[]);
    app.register(&[reader.client.clone(), gone.clone()]).await;
    let token = gone.token(&app).await;
    // Recorded before it is removed.
    let recorded = "SELECT count(*) FROM client_credentials WHERE id::text = $1";
    let credential = claim(&token, "cred").as_str().unwrap().to_owned();
    wait::until_equal("the recorded credentials", 1, || app.database.count(recorded, &credential)).await;
    app.register(std::slice::from_ref(&reader.client)).await;
    wait::until_equal("the recorded credentials", 0, || app.database.count(recorded, &credential)).await;
    reader.catch_up(&app, 0).await;
    let until = reader.revoked[&credential];
    assert!(until >= claim(&token, "exp").as_i64().unwrap());
    assert!(!reader.knows(&claim(&reader.token, "cred")));
}

#[tokio::test]
async fn without_postgres_there_is_no_answer_and_after_a_restart_the_list_begins_anew() {
    let (mut app, mut reader) = Reader::start(App::setup().own_postgres()).await;
    let (_, session) = app.new_session("out").await;
    app.log_out(&session).await.ok(200);
    reader.catch_up(&app, 0).await;

    let mut postgres = app.postgres.take().unwrap();
    let begun = Instant::now();
    let (answer, ()) = tokio::join!(reader.ask(&app, 0, "wait=30"), async { postgres.stop() });
    answer.problem(503);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    reader.ask(&app, 0, "").await.problem(503);
    postgres.start_again();
    app.server().wait_until_ready().await;
    let page = reader.catch_up(&app, 0).await;
    assert_eq!(page["reset"], true, "{page}");
    assert!(reader.knows(&claim(&session.access, "sid")));
}

#[tokio::test]
async fn a_waiting_request_does_not_delay_the_stop() {
    let (mut app, mut reader) = Reader::start(App::setup()).await;
    reader.catch_up(&app, 0).await;
    let begun = Instant::now();
    let terminate = async { app.server().terminate() };
    let (answer, ()) = tokio::join!(reader.ask(&app, 0, "wait=30"), terminate);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(app.servers[0].ended().await.success());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

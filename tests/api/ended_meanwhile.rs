//! Time passes between the check of a token and what it permits: a password waits to be hashed, a row is locked. A logout,
//! a deactivation or a demotion that is answered meanwhile wins: nothing is written, mailed or audited.

use futures::future::{BoxFuture, FutureExt as _, join_all};
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, Setup, User, path};
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::smtp::Smtp;
use latchkey_tests::wait;
use serde_json::{Value, json};
use sqlx::PgConnection;

const WITHDRAWALS: [Withdrawal; 3] = [Withdrawal::Logout, Withdrawal::Deactivation, Withdrawal::Demotion];

/// How the right to act ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Withdrawal {
    Logout,
    Deactivation,
    Demotion,
}

impl Withdrawal {
    /// Does it at the second replica, and returns when it has been answered.
    async fn withdraw(self, app: &App, user: &User, session: &Session) {
        let change = match self {
            Self::Logout => {
                app.log_out_at(1, session).await.ok(200);
                return;
            }
            Self::Deactivation => json!({ "is_active": false }),
            Self::Demotion => json!({ "is_superuser": false }),
        };
        let root = app.superuser().await;
        let path = format!("{}/{}", path::USERS, user.id);
        app.servers[1].request("PATCH", &path).bearer_auth(&root.access).json(&change).answer().await.ok(200);
    }

    fn status(self) -> u16 {
        if self == Self::Demotion { 403 } else { 401 }
    }
}

fn setup() -> Setup {
    App::setup()
        .replicas(2)
        .mail(Smtp::Plain)
        .set("ACCOUNT_DELETION_ENABLED", "true")
        .set("RATE_LIMITS_ENABLED", "false")
}

async fn new_superuser(app: &App, name: &str) -> (User, Session) {
    let (user, session) = app.new_session(name).await;
    let key = user.id.to_string();
    app.database.execute_for("UPDATE users SET is_superuser = true WHERE id::text = $1", &key).await;
    (user, session)
}

/// A lock on the row of an account, as something else that changes it would hold it.
async fn lock(app: &App, user: &User) -> PgConnection {
    let mut connection = app.database.connect().await;
    sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
    let sql = "SELECT FROM users WHERE id = $1 FOR UPDATE";
    sqlx::query(sql).bind(user.id).execute(&mut connection).await.unwrap();
    connection
}

async fn wait_for_waiters(app: &App, number: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock' AND $1 <> ''";
    wait::until("requests to wait for the lock", || async {
        (app.database.count(sql, "any").await >= number).then_some(())
    })
    .await;
}

async fn release(mut lock: PgConnection) {
    sqlx::query("COMMIT").execute(&mut lock).await.unwrap();
}

/// All that could have been changed but `out`, whose right ends: accounts, other sessions, the audit, mail.
async fn state(app: &App, out: &User) -> String {
    let sql = "SELECT concat_ws(' | ',
                   (SELECT string_agg(concat_ws(' ', id, username, email, name, password_hash), ',' ORDER BY id)
                    FROM users),
                   (SELECT string_agg(concat_ws(' ', is_active, is_superuser), ',' ORDER BY id) FROM users
                    WHERE id::text <> $1),
                   (SELECT string_agg(concat_ws(' ', id, ended_at), ',' ORDER BY id) FROM sessions
                    WHERE user_id::text <> $1),
                   (SELECT count(*) FROM audit_events WHERE user_id IS NULL OR user_id::text <> $1),
                   (SELECT coalesce(max(id), 0) FROM one_time_tokens),
                   (SELECT count(*) FROM seen_mail))";
    app.database.text(sql, &out.id.to_string()).await
}

/// Counts what is put into the outbox, which a worker empties.
async fn watch_mail(app: &App) {
    for sql in [
        "CREATE TABLE seen_mail (kind text)",
        "CREATE FUNCTION see_mail() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO seen_mail VALUES (NEW.kind); RETURN NEW; END $$",
        "CREATE TRIGGER see_mail AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION see_mail()",
    ] {
        app.database.execute(sql).await;
    }
}

fn request<'a>(
    app: &'a App,
    (method, path): (&'a str, String),
    session: &'a Session,
    body: Option<Value>,
) -> BoxFuture<'a, Answer> {
    let request = app.server().request(method, &path).bearer_auth(&session.access);
    let request = if let Some(body) = body { request.json(&body) } else { request };
    request.answer().boxed()
}

/// Everything that a superuser does to `target`.
fn administration(target: &User) -> Vec<(&'static str, String, Option<Value>)> {
    let one = format!("{}/{}", path::USERS, target.id);
    vec![
        ("PATCH", one.clone(), Some(json!({ "name": "Changed", "is_superuser": true }))),
        ("PATCH", one.clone(), Some(json!({ "email": "moved@example.test" }))),
        ("PATCH", one.clone(), Some(json!({ "is_active": false }))),
        ("DELETE", one.clone(), None),
        ("DELETE", format!("{one}/sessions"), None),
        ("POST", format!("{one}/password-reset"), None),
    ]
}

#[tokio::test]
async fn a_superuser_whose_right_ends_while_an_account_is_locked_does_nothing_to_it() {
    let app = setup().start().await;
    watch_mail(&app).await;
    let (target, _) = app.new_session("target").await;
    for withdrawal in WITHDRAWALS {
        for (method, path, body) in administration(&target) {
            let (chief, session) = new_superuser(&app, "chief").await;
            let before = state(&app, &chief).await;
            let held = lock(&app, &target).await;
            let attempt = request(&app, (method, path.clone()), &session, body.clone());
            let meanwhile = async {
                wait_for_waiters(&app, 1).await;
                withdrawal.withdraw(&app, &chief, &session).await;
                release(held).await;
            };
            let (answer, ()) = tokio::join!(attempt, meanwhile);

            assert_eq!(
                answer.status,
                withdrawal.status(),
                "{withdrawal:?} {method} {path} {body:?}: {answer:?}"
            );
            answer.problem(answer.status);
            assert_eq!(state(&app, &chief).await, before, "{withdrawal:?} {method} {path} {body:?}");
        }
    }
}

#[tokio::test]
async fn an_invitation_and_a_revocation_are_not_made_for_a_superuser_whose_right_has_ended() {
    let app = setup().start().await;
    watch_mail(&app).await;
    let (target, victim) = app.new_session("target").await;
    for withdrawal in WITHDRAWALS {
        for (path, is_form) in [(path::USERS, false), (path::REVOKE, true)] {
            let (chief, session) = new_superuser(&app, "chief").await;
            let before = state(&app, &chief).await;
            // A deactivation needs the superuser's own row, so then it is the other account that is locked.
            let held = lock(&app, if is_form { &target } else { &chief }).await;
            let attempt = app.post(path).bearer_auth(&session.access);
            let attempt = if is_form {
                attempt.form(&[("token", &victim.access)])
            } else {
                attempt.json(&json!({ "username": "guest", "email": "guest@example.test", "name": "Guest" }))
            };
            let meanwhile = async {
                wait_for_waiters(&app, 1).await;
                if is_form || withdrawal == Withdrawal::Logout {
                    withdrawal.withdraw(&app, &chief, &session).await;
                    release(held).await;
                } else {
                    // What holds the row is itself what takes the right away.
                    let mut held = held;
                    let sql = match withdrawal {
                        Withdrawal::Deactivation => "UPDATE users SET is_active = false WHERE id = $1",
                        _ => "UPDATE users SET is_superuser = false WHERE id = $1",
                    };
                    sqlx::query(sql).bind(chief.id).execute(&mut held).await.unwrap();
                    release(held).await;
                }
            };
            let (answer, ()) = tokio::join!(attempt.answer(), meanwhile);

            assert_eq!(answer.status, withdrawal.status(), "{withdrawal:?} {path}: {answer:?}");
            let problem = answer.problem(answer.status);
            assert_eq!(problem["error"].is_string(), is_form, "{problem}");
            assert_eq!(state(&app, &chief).await, before, "{withdrawal:?} {path}");
            app.me(&victim.access).await.ok(200);
        }
    }
}

#[tokio::test]
async fn an_account_that_is_logged_out_while_it_is_locked_changes_nothing_of_its_own() {
    let app = setup().start().await;
    watch_mail(&app).await;
    let user = app.create_user("owner").await;
    let other = app.log_in(&user).await;
    let sessions = app.get(path::SESSIONS).bearer_auth(&other.access).answer().await.ok(200);
    let other_id = sessions["sessions"][0]["id"].as_str().unwrap().to_owned();
    let new = format!("{SECRET_MARK} quite another one");
    let own = |method, path: &str, body| (method, path.to_owned(), body);
    for (method, path, body) in [
        own("PATCH", path::ME, Some(json!({ "name": "Changed", "locale": "de" }))),
        own(
            "POST",
            path::MY_PASSWORD,
            Some(json!({ "current_password": user.password, "new_password": new })),
        ),
        own(
            "POST",
            path::MY_PASSWORD,
            Some(
                json!({ "current_password": user.password, "new_password": new, "keep_other_sessions": true }),
            ),
        ),
        own("POST", path::MY_EMAIL, Some(json!({ "password": user.password, "email": "new@example.test" }))),
        own("DELETE", path::ME, Some(json!({ "password": user.password }))),
        // Nor does it learn whether a password is right.
        own("DELETE", path::ME, Some(json!({ "password": "a wrong one" }))),
        own("POST", path::LOGOUT_ALL, None),
        ("DELETE", format!("{}/{other_id}", path::SESSIONS), None),
    ] {
        let session = app.log_in(&user).await;
        let audited = "SELECT count(*) FROM audit_events WHERE kind NOT IN ('login', 'logout') AND $1 <> ''";
        let before = (state(&app, &user).await, app.database.count(audited, "any").await);
        let held = lock(&app, &user).await;
        let attempt = request(&app, (method, path.clone()), &session, body.clone());
        let meanwhile = async {
            wait_for_waiters(&app, 1).await;
            Withdrawal::Logout.withdraw(&app, &user, &session).await;
            release(held).await;
        };
        let (answer, ()) = tokio::join!(attempt, meanwhile);

        assert_eq!(answer.status, 401, "{method} {path} {body:?}: {answer:?}");
        answer.problem(401);
        let after = (state(&app, &user).await, app.database.count(audited, "any").await);
        assert_eq!(after, before, "{method} {path} {body:?}");
        // Its other session is none of it.
        app.me(&other.access).await.ok(200);
    }
}

#[tokio::test]
async fn a_logout_that_waits_for_its_own_session_succeeds_although_another_ends_it() {
    let app = setup().start().await;
    let (user, session) = app.new_session("twice").await;
    let mut held = app.database.connect().await;
    sqlx::query("BEGIN").execute(&mut held).await.unwrap();
    let sql = "SELECT FROM sessions WHERE user_id = $1 FOR UPDATE";
    sqlx::query(sql).bind(user.id).execute(&mut held).await.unwrap();
    let logouts = join_all((0..2).map(|replica| app.log_out_at(replica, &session)));
    let meanwhile = async {
        wait_for_waiters(&app, 2).await;
        release(held).await;
    };
    let (answers, ()) = tokio::join!(logouts, meanwhile);
    for answer in answers {
        answer.ok(200);
    }
    app.me_at(1, &session.access).await.problem(401);
}

/// The hash of some password, which takes a core for seconds to compare with.
fn slow_hash() -> String {
    format!("$pbkdf2-sha512$4000000$c2FsdHNhbHRzYWx0${}", "A".repeat(86))
}

#[tokio::test]
async fn a_superuser_whose_right_ends_while_a_password_waits_to_be_hashed_makes_no_account() {
    let app = setup().start().await;
    watch_mail(&app).await;
    let slow = json!({
        "username": "slow", "email": "slow@example.test", "name": "Slow", "password_hash": slow_hash(),
    });
    app.post_user(&slow).await.ok(201);
    let hashes =
        async |state: &str| app.server().metric("latchkey_hash_pool", &[&format!("state=\"{state}\"")]).await;
    let workers = hashes("workers").await;
    for withdrawal in WITHDRAWALS {
        let (chief, session) = new_superuser(&app, "chief").await;
        let body = json!({
            "username": "backdoor", "email": "backdoor@example.test", "name": "Back Door", "is_superuser": true,
            "password": format!("{SECRET_MARK} of the back door"),
        });
        let before = state(&app, &chief).await;
        let mut busy: Vec<BoxFuture<'_, Option<Answer>>> = Vec::new();
        let mut count = 0.0;
        while count < workers {
            busy.push(app.post_login("slow", "not the password").map(|_| None).boxed());
            count += 1.0;
        }
        let attempt = async {
            wait::until("every core to hash", || async {
                (hashes("running").await >= workers).then_some(())
            })
            .await;
            Some(app.post(path::USERS).bearer_auth(&session.access).json(&body).answer().await)
        };
        let meanwhile = async {
            wait::until("the password to wait", || async { (hashes("waiting").await >= 1.0).then_some(()) })
                .await;
            withdrawal.withdraw(&app, &chief, &session).await;
            assert!(hashes("waiting").await >= 1.0, "the password did not wait long enough");
            None
        };
        busy.push(attempt.boxed());
        busy.push(meanwhile.boxed());
        let answer = join_all(busy).await.into_iter().flatten().next().expect("the answer");

        assert_eq!(answer.status, withdrawal.status(), "{withdrawal:?}: {answer:?}");
        answer.problem(answer.status);
        let backdoor = "SELECT count(*) FROM users WHERE username = $1";
        assert_eq!(app.database.count(backdoor, "backdoor").await, 0);
        let made = "SELECT count(*) FROM audit_events WHERE kind = 'user_created' AND actor_id::text = $1";
        assert_eq!(app.database.count(made, &chief.id.to_string()).await, 0);
        let after = state(&app, &chief).await;
        assert_eq!(after.split(" | ").next(), before.split(" | ").next());
    }
}

#[tokio::test]
async fn a_demotion_waits_for_what_the_superuser_has_begun() {
    let app = setup().start().await;
    let (chief, session) = new_superuser(&app, "chief").await;
    let target = app.create_user("target").await;
    let held = lock(&app, &target).await;
    let one = format!("{}/{}", path::USERS, target.id);
    let attempt = request(&app, ("PATCH", one), &session, Some(json!({ "name": "Changed" })));
    let demotion = async {
        wait_for_waiters(&app, 1).await;
        Withdrawal::Demotion.withdraw(&app, &chief, &session).await;
    };
    let meanwhile = async {
        wait_for_waiters(&app, 2).await;
        release(held).await;
    };
    let (answer, (), ()) = tokio::join!(attempt, demotion, meanwhile);
    answer.ok(200);
    app.get(path::USERS).bearer_auth(&session.access).answer().await.problem(403);
}

#[tokio::test]
async fn superusers_who_change_each_other_and_themselves_at_once_do_not_wait_for_each_other() {
    let app = setup().start().await;
    for _ in 0..4 {
        let mut chiefs = Vec::new();
        for _ in 0..3 {
            let (user, session) = new_superuser(&app, "chief").await;
            let second = app.log_in(&user).await;
            chiefs.push((user, session, second));
        }
        let mut requests: Vec<BoxFuture<'_, Answer>> = Vec::new();
        for (number, (_, session, _)) in chiefs.iter().enumerate() {
            for (target, theirs, second) in &chiefs {
                for (turn, (method, path, body)) in administration(target).into_iter().enumerate() {
                    let server = &app.servers[(number + turn) % 2];
                    let request = server.request(method, &path).bearer_auth(&session.access);
                    let request = match body {
                        Some(body) if body["email"].is_string() => continue,
                        Some(body) => request.json(&body),
                        None => request,
                    };
                    requests.push(request.answer().boxed());
                }
                for token in [&theirs.access, &second.refresh] {
                    let revoke = app.servers[number % 2].post(path::REVOKE).bearer_auth(&session.access);
                    requests.push(revoke.form(&[("token", token)]).answer().boxed());
                }
            }
            requests
                .push(app.servers[1].post(path::LOGOUT_ALL).bearer_auth(&session.access).answer().boxed());
            let own = app.servers[0].request("PATCH", path::ME).bearer_auth(&session.access);
            requests.push(own.json(&json!({ "name": "Chief" })).answer().boxed());
            requests.push(app.refresh_at(1, session).boxed());
            requests.push(app.log_out_at(0, session).boxed());
        }
        let answers = join_all(requests).await;
        for answer in &answers {
            assert!([200, 202, 204, 400, 401, 403, 404, 409].contains(&answer.status), "{answer:?}");
        }
        let deadlocks =
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database() AND $1 <> ''";
        assert_eq!(app.database.count(deadlocks, "any").await, 0);
        app.superuser().await;
    }
}

//! Replicas with wrong clocks.

use chrono::Utc;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, Session, path};
use latchkey_tests::forged_tokens::Forged;
use latchkey_tests::key_set;
use latchkey_tests::server::{Server, run_command, shift_clock};
use latchkey_tests::wait;

/// An app with a second replica whose clock is shifted by `offset`. The second one need not be ready.
async fn shifted(offset: &str) -> App {
    let mut app = App::start().await;
    let mut variables = app.variables.clone();
    shift_clock(&mut variables, offset);
    app.servers.push(Server::start(&variables).await);
    app
}

/// The access token of a session, expired `ago` seconds ago by the clock of the first replica.
fn expired(session: &Session, ago: i64) -> String {
    let pattern = Forged::from_token(&session.access);
    let now = Utc::now().timestamp();
    pattern
        .claim("iat", now - 600)
        .claim("nbf", now - 600)
        .claim("exp", now - ago)
        .sign(key_set::of_this_process())
}

#[tokio::test]
async fn ready_replicas_accept_what_a_replica_with_another_clock_has_just_signed() {
    // Each is within the margin, the two together are not.
    for (one, other) in [("+4m", "-4m"), ("+15s", "-15s")] {
        let mut app = shifted(one).await;
        let mut variables = app.variables.clone();
        shift_clock(&mut variables, other);
        app.servers.push(Server::start(&variables).await);
        app.database
            .execute("UPDATE revocation_state SET tokens_valid_from = now() - interval '1 day'")
            .await;
        for server in &app.servers {
            server.wait_until_ready().await;
        }
        let user = app.create_user("clocks").await;
        for signer in 0..app.servers.len() {
            let form = [("username", &user.username), ("password", &user.password)];
            let login = app.servers[signer].post(path::LOGIN).form(&form).answer().await;
            let mut session = Session::from_answer(&login);
            for verifier in 0..app.servers.len() {
                app.me_at(verifier, &session.access).await.ok(200);
                session = Session::from_answer(&app.refresh_at(verifier, &session).await);
            }
            app.log_out_at(0, &session).await.ok(200);
            for verifier in 0..app.servers.len() {
                app.me_at(verifier, &session.access).await.problem(401);
            }
        }
    }
}

#[tokio::test]
async fn a_replica_with_a_slow_clock_refuses_revoked_tokens_after_their_expiry() {
    let app = shifted("-4m").await;
    app.servers[1].wait_until_ready().await;
    app.database.execute("UPDATE revocation_state SET tokens_valid_from = now() - interval '1 day'").await;
    let (_, out) = app.new_session("out").await;
    let (_, open) = app.new_session("open").await;
    app.database.execute("UPDATE sessions SET access_tokens_expire_at = now() - interval '2 minutes'").await;
    app.log_out(&out).await.ok(200);
    // Redis is filled from PostgreSQL again, long after the token has expired by the right clock.
    app.redis.flush().await;
    app.me(&open.access).await.ok(200);
    for server in &app.servers {
        server.wait_for_revocation_mode("redis").await;
    }
    // By its clock both tokens are valid for two more minutes.
    app.me_at(1, &expired(&open, 120)).await.ok(200);
    app.me_at(1, &expired(&out, 120)).await.problem(401);
    app.me_at(0, &expired(&open, 120)).await.problem(401);
    // A revocation is stored in Redis as long as in PostgreSQL.
    let mut connection = app.redis.connect().await;
    let revoked = wait::until("the revocation in Redis", || async {
        let mut keys = app.redis.keys().await;
        keys.retain(|key| key.contains("revoked:"));
        if keys.is_empty() { Err("no revocation") } else { Ok(keys) }
    })
    .await;
    for key in revoked {
        let left: i64 = redis::cmd("TTL").arg(&key).query_async(&mut connection).await.unwrap();
        assert!(left > 3_000, "{key} expires in {left} s");
    }
}

#[tokio::test]
async fn a_replica_with_a_wrong_clock_is_not_ready_and_does_not_trust_redis() {
    for (offset, direction) in [("-11m", "behind"), ("+11m", "ahead of")] {
        let app = shifted(offset).await;
        let (_, out) = app.new_session("out").await;
        let replica = &app.servers[1];
        let clock = wait::until(&format!("a clock {direction} the database's"), || async {
            let clock = replica.status().await["dependencies"]["clock"].clone();
            let found = clock["message"].as_str().is_some_and(|message| message.contains(direction));
            if found { Ok(clock) } else { Err(clock) }
        })
        .await;
        assert_eq!(clock["ready"], false, "{clock}");
        assert_eq!(replica.readiness().await.status, 503);
        replica.wait_for_revocation_mode("postgres").await;
        let message = replica.status().await["revocation"]["message"].clone();
        assert!(message.as_str().is_some_and(|message| message.contains("clock")), "{message}");
        // The other replica still uses Redis.
        app.servers[0].wait_for_revocation_mode("redis").await;
        assert_eq!(app.servers[0].readiness().await.status, 200);
        app.log_out(&out).await.ok(200);
        app.me_at(1, &out.access).await.problem(401);
    }
}

#[tokio::test]
async fn check_reports_a_wrong_clock() {
    let app = App::start().await;
    let mut variables = app.variables.clone();
    let right = run_command(&["check"], &variables);
    assert!(right.status.success(), "{right:?}");
    shift_clock(&mut variables, "-1h");
    let wrong = run_command(&["check"], &variables);
    let text = String::from_utf8_lossy(&wrong.stdout).into_owned() + &String::from_utf8_lossy(&wrong.stderr);
    assert!(!wrong.status.success(), "{text}");
    assert!(text.contains("clock") && text.contains("behind the database's"), "{text}");
}

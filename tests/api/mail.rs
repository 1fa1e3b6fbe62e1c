//! E-mail is sent from the outbox: an SMTP server that is unavailable or refuses loses no message and delays no
//! request.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, User, path};
use latchkey_tests::smtp::{Mailpit, Smtp};
use latchkey_tests::wait;

const UNSENT: &str = "SELECT count(*) FROM outbox WHERE dead_at IS NULL AND $1 <> ''";
const DEAD: &str = "SELECT count(*) FROM outbox WHERE dead_at IS NOT NULL AND $1 <> ''";

/// Less than the server waits for an SMTP server.
const WITHOUT_SMTP: Duration = Duration::from_secs(10);

async fn recover(app: &App, user: &User) {
    let begun = Instant::now();
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    assert!(begun.elapsed() < WITHOUT_SMTP, "the request took {:?}", begun.elapsed());
}

/// Makes the next attempt of every message due now, so that no test waits for the pause between two attempts. A
/// message that is leased, for two minutes, is being sent.
async fn make_due(app: &App) {
    app.database
        .execute(
            "UPDATE outbox SET next_attempt_at = now()
             WHERE dead_at IS NULL AND next_attempt_at < now() + interval '30 seconds'",
        )
        .await;
}

async fn wait_for_a_failed_attempt(app: &App) {
    wait::until("a failed attempt", || async {
        let tried = "SELECT count(*) FROM outbox WHERE attempts > 0 AND $1 <> ''";
        let tried = app.database.count(tried, "any").await;
        wait::check(tried > 0, tried)
    })
    .await;
}

/// Waits until this number of messages is given up, without the pauses between attempts.
async fn wait_for_given_up(app: &App, messages: i64) {
    wait::until_equal("the number of messages that are given up", messages, || async {
        make_due(app).await;
        app.database.count(DEAD, "any").await
    })
    .await;
}

/// Waits for a message, without the pauses between attempts.
async fn wait_for_mail(app: &App, mail: &Mailpit, user: &User) {
    wait::until(&format!("a message to {}", user.email), || async {
        make_due(app).await;
        let received = mail.mail_to(&user.email).await;
        wait::check(!received.is_empty(), received)
    })
    .await;
}

#[tokio::test]
async fn messages_are_sent_after_an_outage_of_the_smtp_server() {
    let mut app = App::setup().mail(Smtp::Plain).start().await;
    let users = [app.create_user("during").await, app.create_user("outage").await];
    app.mail.as_mut().unwrap().stop();

    for user in &users {
        recover(&app, user).await;
    }
    wait_for_a_failed_attempt(&app).await;
    assert_eq!(app.database.count(UNSENT, "any").await, 2);
    assert_eq!(app.server().readiness().await.status, 200);

    app.mail.as_mut().unwrap().start_again().await;
    for user in &users {
        wait_for_mail(&app, app.mail(), user).await;
        assert_eq!(app.mail().mail_to(&user.email).await.len(), 1);
    }
}

#[tokio::test]
async fn messages_are_sent_after_a_restart_of_the_server() {
    let mut app = App::setup().mail(Smtp::Plain).start().await;
    let user = app.create_user("restarted").await;
    app.mail.as_mut().unwrap().stop();
    recover(&app, &user).await;
    // A message whose sender is killed during an attempt is only tried again after its lease of two minutes.
    wait_for_a_failed_attempt(&app).await;

    app.restart(0).await;

    app.mail.as_mut().unwrap().start_again().await;
    wait_for_mail(&app, app.mail(), &user).await;
}

#[tokio::test]
async fn several_replicas_send_each_email_once() {
    let app = App::setup().mail(Smtp::Plain).replicas(3).start().await;
    // Each replica looks for messages once a second: two of them may have sent a batch when the third one looks.
    let mut messages = 0;
    for batch in 1.. {
        messages += app
            .database
            .execute(
                "INSERT INTO outbox (kind, recipient, data)
                 SELECT 'username_taken', gen_random_uuid() || '@example.test', '{\"username\": \"taken\"}'
                 FROM generate_series(1, 300)",
            )
            .await;
        wait::until_equal("the number of unsent messages", 0, || app.database.count(UNSENT, "any")).await;
        let mut sent = Vec::new();
        for server in &app.servers {
            sent.push(server.metric("latchkey_mail_total", &["outcome=\"sent\""]).await);
        }
        if sent.iter().all(|sent| *sent > 0.0) {
            break;
        }
        assert!(batch < 20, "not each replica sends: {sent:?}");
    }

    let recipients = app.mail().recipients().await;
    let once: BTreeSet<_> = recipients.iter().collect();
    assert_eq!((recipients.len() as u64, once.len() as u64), (messages, messages));
}

#[tokio::test]
async fn concurrent_requests_at_two_replicas_send_each_email_once() {
    let app = App::setup().mail(Smtp::Plain).replicas(2).start().await;
    let mut users = Vec::new();
    for _ in 0..10 {
        users.push(app.create_user("once").await);
    }

    futures::future::join_all(users.iter().map(|user| recover(&app, user))).await;

    wait::until_equal("the number of unsent messages", 0, || app.database.count(UNSENT, "any")).await;
    for user in &users {
        assert_eq!(app.mail().wait_for(&user.email, 1).await.len(), 1, "{}", user.email);
    }
}

#[tokio::test]
async fn a_message_of_a_later_release_is_not_touched() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    app.database
        .execute("INSERT INTO outbox (kind, recipient) VALUES ('of_tomorrow', 'a@example.test')")
        .await;
    let user = app.create_user("today").await;
    recover(&app, &user).await;
    app.mail().wait_for(&user.email, 1).await;
    let untouched =
        "SELECT count(*) FROM outbox WHERE kind = $1 AND attempts = 0 AND next_attempt_at = created_at";
    assert_eq!(app.database.count(untouched, "of_tomorrow").await, 1);
}

#[tokio::test]
async fn a_temporary_refusal_is_tried_again() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let user = app.create_user("greylisted").await;
    app.mail().refuse_recipients(Some(451)).await;
    recover(&app, &user).await;
    wait_for_a_failed_attempt(&app).await;

    app.mail().refuse_recipients(None).await;
    wait_for_mail(&app, app.mail(), &user).await;
    assert_eq!(app.database.count(DEAD, "any").await, 0);
}

#[tokio::test]
async fn a_permanent_refusal_is_given_up_and_counted() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let user = app.create_user("refused").await;
    app.mail().refuse_recipients(Some(550)).await;

    recover(&app, &user).await;

    wait_for_given_up(&app, 1).await;
    wait::until("the message in the metrics", || async {
        let metrics = app.server().metrics().await;
        let shown = metrics.lines().any(|line| line.contains("dead") && line.ends_with(" 1"));
        wait::check(shown, metrics)
    })
    .await;
}

#[tokio::test]
async fn a_message_that_is_given_up_is_audited_without_the_address() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let user = app.create_user("given-up").await;
    app.mail().refuse_recipients(Some(451)).await;
    app.database
        .execute_for(
            "INSERT INTO outbox (kind, recipient, user_id, created_at)
             SELECT 'password_changed', email, id, now() - interval '25 hours' FROM users WHERE username = $1",
            &user.username,
        )
        .await;

    wait::until_equal("the number of messages that are given up", 1, || app.database.count(DEAD, "any"))
        .await;

    let event = "SELECT detail::text || ' ' || outcome || ' ' || (user_id = outbox.user_id)
                 FROM audit_events JOIN outbox USING (user_id)
                 WHERE audit_events.kind = $1 AND (detail->>'outbox_id')::bigint = outbox.id";
    let event = app.database.text(event, "mail_given_up").await;
    assert!(event.contains(r#""mail": "password_changed""#), "{event}");
    assert!(event.contains(r#""reason": "smtp""#) && event.ends_with("refused true"), "{event}");
    assert!(!event.contains(&user.email), "{event}");
    let metrics = app.server();
    assert!(metrics.metric("latchkey_audit_events_total", &["mail_given_up"]).await >= 1.0);
    assert!(metrics.metric("latchkey_mail_total", &["outcome=\"given_up\""]).await >= 1.0);
    let line = app.server().wait_for_log("mail_given_up").await;
    assert!(!line.contains(&user.email), "{line}");
}

#[tokio::test]
async fn a_bad_message_does_not_delay_others() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    // Each takes a sender's time and is never sent: a value of its template is missing, or its address is invalid.
    app.database
        .execute(
            "INSERT INTO outbox (kind, recipient)
             SELECT 'username_taken', 'bad-' || n || '@example.test' FROM generate_series(1, 20) AS n",
        )
        .await;
    app.database
        .execute("INSERT INTO outbox (kind, recipient) VALUES ('account_deleted', 'not an address')")
        .await;
    let user = app.create_user("behind").await;
    recover(&app, &user).await;

    app.mail().wait_for(&user.email, 1).await;

    let tried = "SELECT count(*) FROM outbox WHERE kind = $1 AND attempts > 0 AND dead_at IS NULL";
    wait::until_equal("the number of bad messages tried", 20, || app.database.count(tried, "username_taken"))
        .await;
    wait::until_equal("the number of messages that are given up", 1, || app.database.count(DEAD, "any"))
        .await;
    // After a day the others are given up too.
    app.database.execute("UPDATE outbox SET created_at = now() - interval '25 hours'").await;
    wait_for_given_up(&app, 21).await;
    assert_eq!(app.server().readiness().await.json()["dependencies"]["mail"]["ready"], true);
}

#[tokio::test]
async fn messages_are_sent_with_starttls_and_a_login() {
    let app = App::setup().mail(Smtp::StartTls).start().await;
    let user = app.create_user("starttls").await;
    recover(&app, &user).await;
    app.mail().wait_for(&user.email, 1).await;
}

#[tokio::test]
async fn messages_are_sent_with_implicit_tls_and_a_login() {
    let app = App::setup().mail(Smtp::Implicit).start().await;
    let user = app.create_user("implicit").await;
    recover(&app, &user).await;
    app.mail().wait_for(&user.email, 1).await;
}

/// Starts an app that cannot send e-mail, and asserts that a failed attempt sends and loses nothing.
async fn assert_nothing_is_sent(setup: latchkey_tests::app::Setup) {
    let app = setup.start().await;
    let user = app.create_user("kept").await;
    recover(&app, &user).await;
    wait_for_a_failed_attempt(&app).await;
    assert!(app.mail().mail_to(&user.email).await.is_empty());
    assert_eq!(app.database.count(UNSENT, "any").await, 1, "the message is not lost");
    assert_eq!(app.server().readiness().await.status, 200);
}

#[tokio::test]
async fn nothing_is_sent_without_tls_if_it_is_required() {
    assert_nothing_is_sent(App::setup().mail(Smtp::Plain).set("SMTP_TLS", "true")).await;
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_with_an_untrusted_certificate() {
    // The certificates of the system, which do not contain that of the SMTP server.
    assert_nothing_is_sent(
        App::setup().mail(Smtp::StartTls).set("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"),
    )
    .await;
}

#[tokio::test]
async fn no_message_is_lost_with_a_wrong_smtp_password() {
    assert_nothing_is_sent(App::setup().mail(Smtp::StartTls).set("SMTP_PASSWORD", "NeverLogged wrong")).await;
}

#[tokio::test]
async fn every_email_has_its_own_message_id() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let user = app.create_user("ids").await;
    recover(&app, &user).await;
    recover(&app, &user).await;
    let mail = app.mail().wait_for(&user.email, 2).await;
    let ids: BTreeSet<_> = mail.iter().map(|mail| mail.message["MessageID"].to_string()).collect();
    assert_eq!(ids.len(), 2);
}

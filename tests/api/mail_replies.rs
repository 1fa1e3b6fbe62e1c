//! The reply of the SMTP server decides what becomes of a message (RFC 3463): only an address that is at fault is given
//! up; everything that the sender or the system can correct is retried and reported.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, Setup, path};
use latchkey_tests::scripted_smtp::ScriptedSmtp;
use latchkey_tests::wait;

const TRIED: &str = "SELECT count(*) FROM outbox WHERE attempts > 0 AND dead_at IS NULL AND recipient <> $1";
const DEAD: &str = "SELECT count(*) FROM outbox WHERE dead_at IS NOT NULL AND recipient <> $1";
const LEFT: &str = "SELECT count(*) FROM outbox WHERE recipient <> $1";

/// An app that sends its mail to `smtp`.
fn setup(smtp: &ScriptedSmtp) -> Setup {
    smtp.variables().into_iter().fold(App::setup(), |setup, (name, value)| setup.set(name, &value))
}

async fn request_mail(app: &App) {
    let address = app.create_user("reply").await.email;
    app.post(&format!("{}/{address}", path::RECOVERY)).answer().await.ok(200);
}

async fn wait_for_count(app: &App, what: &str, sql: &'static str, count: i64) {
    wait::until(what, || async {
        // The next attempts are due now.
        app.database
            .execute(
                "UPDATE outbox SET next_attempt_at = now()
                 WHERE dead_at IS NULL AND next_attempt_at < now() + interval '30 seconds'",
            )
            .await;
        let found = app.database.count(sql, "").await;
        wait::check(found == count, found)
    })
    .await;
}

#[tokio::test]
async fn what_the_sender_or_the_system_can_correct_is_retried_and_reported() {
    let smtp = ScriptedSmtp::start().await;
    let app = setup(&smtp).start().await;
    for (command, reply, reported) in [
        ("RCPT TO", "553 5.7.1 sender rejected", "553 5.7.1 to RCPT TO"),
        ("RCPT TO", "550 5.4.5 Daily sending quota exceeded", "550 5.4.5 to RCPT TO"),
        (
            "RCPT TO",
            "550-5.7.26 Not authenticated\r\n550 5.7.26 see https://example.test",
            "550 5.7.26 to RCPT TO",
        ),
        ("RCPT TO", "550 relay not permitted", "550 to RCPT TO"),
        ("MAIL FROM", "553 5.7.1 sender rejected", "553 5.7.1 to MAIL FROM"),
        ("MAIL FROM", "550 no such user", "550 to MAIL FROM"),
        ("DATA", "550 5.3.2 system not accepting messages", "550 5.3.2 to DATA"),
        (".", "550 this message looks like spam", "550 to DATA"),
        (".", "552 5.3.4 message too big", "552 5.3.4 to DATA"),
    ] {
        smtp.reply(command, reply);
        request_mail(&app).await;
        wait_for_count(&app, &format!("an attempt that fails with {reply}"), TRIED, 1).await;
        let mail = wait::until("the fault in the readiness", || async {
            let mail = app.server().readiness().await.json()["dependencies"]["mail"].clone();
            if mail["ready"] == false { Ok(mail) } else { Err(mail) }
        })
        .await;
        let message = mail["message"].as_str().unwrap();
        assert!(message.contains(reported), "{reply}: {message}");
        assert!(!message.contains("example.test"), "{message}");
        assert_eq!(app.database.count(DEAD, "").await, 0, "{reply}");

        smtp.accept();
        wait_for_count(&app, &format!("the delivery after {reply}"), LEFT, 0).await;
        assert_eq!(app.server().readiness().await.json()["dependencies"]["mail"]["ready"], true);
    }
}

#[tokio::test]
async fn an_address_that_is_at_fault_is_given_up_and_does_not_count_as_a_failing_server() {
    let smtp = ScriptedSmtp::start().await;
    let app = setup(&smtp).start().await;
    for (number, (command, reply)) in (1..).zip([
        ("RCPT TO", "550 5.1.1 <x@example.test>: Recipient address rejected: User unknown"),
        ("RCPT TO", "550-5.2.1 The email account that you tried to reach is\r\n550 5.2.1 disabled."),
        ("RCPT TO", "552 5.2.2 mailbox full"),
        ("RCPT TO", "556 5.1.10 null MX"),
        ("RCPT TO", "550 No such user here"),
        (".", "550 5.1.1 unknown user"),
    ]) {
        smtp.reply(command, reply);
        request_mail(&app).await;
        wait_for_count(&app, &format!("the message that fails with {reply} to be given up"), DEAD, number)
            .await;
        assert_eq!(app.server().readiness().await.json()["dependencies"]["mail"]["ready"], true, "{reply}");
    }
}

#[tokio::test]
async fn the_server_introduces_itself_with_its_public_name() {
    for (name, value, expected) in [
        ("ISSUER_URL", "https://auth.example.test/path", "EHLO auth.example.test"),
        ("PUBLIC_URL", "https://konto.bücher.example", "EHLO konto.xn--bcher-kva.example"),
        ("PUBLIC_URL", "http://[2001:db8::1]:8080", "EHLO [IPv6:2001:db8::1]"),
        ("SMTP_EHLO_NAME", "mailer.example.test", "EHLO mailer.example.test"),
        ("SMTP_EHLO_NAME", "192.0.2.1", "EHLO [192.0.2.1]"),
    ] {
        let smtp = ScriptedSmtp::start().await;
        let app = setup(&smtp).set(name, value).start_parts().await;
        wait::until(expected, || async {
            wait::check(smtp.commands().contains(&expected.to_owned()), smtp.commands())
        })
        .await;
        assert!(smtp.commands().iter().filter(|line| line.starts_with("EHLO")).all(|line| line == expected));
        drop(app);
    }
}

//! An SMTP server that accepts connections and never answers.

use latchkey_tests::app::App;
use latchkey_tests::blackhole::Blackhole;
use latchkey_tests::wait;

#[tokio::test]
async fn a_silent_smtp_server_is_reported_although_no_message_is_due() {
    let blackhole = Blackhole::listen("127.0.0.1:0").await;
    let port = blackhole.address().rsplit(':').next().unwrap().to_owned();
    let app = [
        ("EMAILS_ENABLED", "true"),
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_PORT", &port),
        ("SMTP_TLS", "false"),
        ("EMAILS_FROM_EMAIL", "auth@example.test"),
    ]
    .into_iter()
    .fold(App::setup(), |setup, (name, value)| setup.set(name, value))
    .start()
    .await;

    wait::until("the status to name the SMTP server", || async {
        let mail = app.server().status().await["dependencies"]["mail"].clone();
        let reported = mail["message"].as_str().is_some_and(|message| message.contains("in time"));
        wait::check(reported && mail["ready"] == false, mail)
    })
    .await;
    assert!(blackhole.accepted() > 0, "the server has connected");
}

//! Rate limits: repeated attempts are refused, other clients are not.

mod devices;
mod mail;
mod networks;
mod passwords;

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Setup, path};
use latchkey_tests::server::Server;

/// Starts an app and waits until its servers use Redis. Attempts before that are counted in memory, separately.
pub async fn start(setup: Setup) -> App {
    let app = setup.start().await;
    for server in &app.servers {
        server.wait_for_revocation_mode("redis").await;
    }
    app
}

/// Sends wrong passwords until the status is not 401, and returns the number of 401s and the last response.
pub async fn guess_until_refused(server: &Server, name: &str) -> (usize, Answer) {
    for number in 0..100 {
        let answer = guess(server, name).await;
        if answer.status != 401 {
            return (number, answer);
        }
    }
    panic!("a hundred guesses for {name} were not limited");
}

/// Sends one wrong password.
pub async fn guess(server: &Server, name: &str) -> Answer {
    server.post(path::LOGIN).form(&[("username", name), ("password", "not the password")]).answer().await
}

/// The number of audit events of this kind.
pub async fn audited(app: &App, kind: &str) -> usize {
    let count = app.database.text("SELECT count(*)::text FROM audit_events WHERE kind = $1", kind).await;
    count.parse().unwrap()
}

//! What happens to those who try too often, and that it happens to nobody else.

mod devices;
mod logins;
mod mail;
mod networks;
mod passwords;

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};
use latchkey_tests::server::Server;

/// Wrong passwords until the answer is another than 401; gives the number of 401s and that answer.
pub async fn guess_until_refused(server: &Server, name: &str) -> (usize, Answer) {
    for number in 0..100 {
        let answer = guess(server, name).await;
        if answer.status != 401 {
            return (number, answer);
        }
    }
    panic!("a hundred guesses at {name}");
}

/// One wrong password.
pub async fn guess(server: &Server, name: &str) -> Answer {
    server.post(path::LOGIN).form(&[("username", name), ("password", "not the password")]).answer().await
}

/// How many audit events of this kind stand in the database.
pub async fn audited(app: &App, kind: &str) -> usize {
    let count = app.database.text("SELECT count(*)::text FROM audit_events WHERE kind = $1", kind).await;
    count.parse().unwrap()
}

//! A reader of the log that has stopped does not stop the server.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use latchkey_tests::app::App;
use latchkey_tests::process::free_port;
use latchkey_tests::{programs, wait};
use reqwest::Client;

/// More lines than the pipe and the server hold.
const REQUESTS: usize = 5_000;
/// The longest that a response may take. A server that waits for its log never responds.
const LIMIT: Duration = Duration::from_secs(30);

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It fails only if the server has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn requests_are_answered_while_nobody_reads_the_log() {
    let app = App::start().await;
    let (api, management) = (free_port(), free_port());
    let mut command = Command::new(programs::latchkey_server());
    command.arg("serve").env_clear().envs(&app.variables).stderr(Stdio::piped());
    command.env("LISTEN_ADDR", format!("127.0.0.1:{api}"));
    command.env("MANAGEMENT_ADDR", format!("127.0.0.1:{management}"));
    let mut server = Server(command.spawn().unwrap());
    let client = Client::builder().timeout(LIMIT).build().unwrap();
    let ready = format!("http://127.0.0.1:{management}/readyz");
    wait::until("the server to be ready", || async {
        let status = client.get(&ready).send().await.map(|response| response.status().as_u16());
        wait::check(matches!(status, Ok(200)), format!("{status:?}"))
    })
    .await;

    let url = format!("http://127.0.0.1:{api}/nothing");
    let statuses: Vec<_> = stream::iter(0..REQUESTS)
        .map(|_| async { client.get(&url).send().await.map(|response| response.status().as_u16()) })
        .buffer_unordered(20)
        .collect()
        .await;
    for status in statuses {
        assert_eq!(status.expect("a response in time"), 404);
    }
    assert_eq!(client.get(&ready).send().await.unwrap().status(), 200);

    // When it is read again, the log says that lines are missing.
    let lines = BufReader::new(server.0.stderr.take().unwrap()).lines();
    let found = tokio::task::spawn_blocking(move || {
        lines.map_while(Result::ok).find(|line| line.contains("log lines were dropped"))
    });
    let found = tokio::time::timeout(wait::PATIENCE, found).await.expect("in time").unwrap();
    assert!(found.is_some_and(|line| line.contains("\"lines\":")), "no line about the missing ones");
}

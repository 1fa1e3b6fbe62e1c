//! Commands whose database accepts connections and never answers: they end with an error that names it.

use std::time::{Duration, Instant};

use latchkey_tests::blackhole::Blackhole;
use latchkey_tests::server::run_command;

use crate::parts::Parts;

#[tokio::test]
async fn every_command_ends() {
    let blackhole = Blackhole::listen("127.0.0.1:0").await;
    let mut parts = Parts::start().await;
    let url = format!("postgres://u:NeverLogged@{}/d?sslmode=disable", blackhole.address());
    parts.variables.insert("DATABASE_URL".to_owned(), url);
    for command in [&["check"][..], &["migrate"], &["sessions", "end-all"]] {
        let begun = Instant::now();
        let output = run_command(command, &parts.variables);
        let said = String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap();
        assert!(!output.status.success(), "{command:?}: {said}");
        assert!(said.contains("did not answer within the time limit"), "{command:?}: {said}");
        assert!(begun.elapsed() < Duration::from_secs(25), "{command:?} took {:?}", begun.elapsed());
        assert_eq!(latchkey_tests::logs::leak(&said), None, "{command:?}");
    }
}

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;

#[test]
fn the_documented_answer_is_understood() {
    let answer = b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{\"version\":\"0.1.0\",\"schema_version\":1,\"signing_keys\":[{\"kid\":\"k\",\"alg\":\"ES256\",\"phase\":\"active\"}],\"revocation\":{\"mode\":\"redis\",\"message\":\"\"},\"dependencies\":{\"database\":{\"ready\":true,\"message\":\"ok\"}}}";
    let report = parse(answer).unwrap().unwrap();
    assert_eq!(report.version.as_deref(), Some("0.1.0"));
    assert_eq!(report.signing_keys[0].kid, "k");
    assert!(report.dependencies["database"].ready);
}

#[test]
fn only_a_database_that_answers_is_said_to_miss_the_schema() {
    let report = |answers, found, needed| Report {
        version: None,
        schema_version: found,
        required_schema_version: needed,
        oldest_tolerated_server: None,
        signing_keys: Vec::new(),
        time: None,
        jwks_max_age: None,
        longest_token_lifetime: None,
        revocation: None,
        dependencies: [(
            "database".to_owned(),
            Dependency { ready: answers, message: String::new(), reason: None },
        )]
        .into(),
    };
    assert!(report(true, Some(0), Some(1)).misses_schema());
    assert!(!report(false, Some(0), Some(1)).misses_schema());
    assert!(!report(true, Some(2), Some(1)).misses_schema());
    // A server that does not report its required version.
    assert!(!report(true, Some(1), None).misses_schema());
}

#[test]
fn anything_else_is_no_report() {
    for answer in [b"".as_slice(), b"HTTP/1.0 503 No\r\n\r\n{}", b"200"] {
        assert_eq!(parse(answer), Ok(None));
    }
    assert_eq!(parse(b"HTTP/1.0 200 OK\r\n\r\nno"), Err(Fault::NoReport));
}

fn answer(body: &str) -> Vec<u8> {
    format!("HTTP/1.0 200 OK\r\n\r\n{body}").into_bytes()
}

/// What a report takes, with what it points to.
fn bytes_of(report: &Report) -> usize {
    let keys = report.signing_keys.iter();
    let keys = keys.map(|key| size_of::<LoadedKey>() + key.kid.capacity() + capacity(key.phase.as_ref()));
    let dependencies = report.dependencies.iter().map(|(name, dependency)| {
        name.capacity() + dependency.message.capacity() + size_of::<(String, Dependency)>()
    });
    let revocation = report.revocation.as_ref();
    let revocation = revocation.map_or(0, |found| found.mode.capacity() + found.message.capacity());
    size_of::<Report>()
        + capacity(report.version.as_ref())
        + revocation
        + keys.chain(dependencies).sum::<usize>()
}

fn capacity(text: Option<&String>) -> usize {
    text.map_or(0, String::capacity)
}

#[test]
fn what_a_report_may_hold_is_bounded() {
    let key = |n: usize| format!(r#"{{"kid":"k{n}","phase":"active"}}"#);
    let keys =
        |count| format!(r#"{{"signing_keys":[{}]}}"#, (0..count).map(key).collect::<Vec<_>>().join(","));
    let named = |n: usize| format!(r#""d{n}":{{"ready":true}}"#);
    let same = |_: usize| r#""d":{"ready":true}"#.to_owned();
    let all = |members: Vec<String>| format!(r#"{{"dependencies":{{{}}}}}"#, members.join(","));
    assert!(parse(&answer(&keys(bounded::KEYS))).is_ok());
    assert!(parse(&answer(&all((0..bounded::DEPENDENCIES).map(named).collect()))).is_ok());
    let long = "x".repeat(bounded::NAME + 1);
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    // Unknown fields are ignored at any depth.
    assert!(parse(&answer(&format!(r#"{{"later":{deep}}}"#))).is_ok());
    for hostile in [
        keys(bounded::KEYS + 1),
        all((0..=bounded::DEPENDENCIES).map(named).collect()),
        all((0..=bounded::DEPENDENCIES).map(same).collect()),
        format!(r#"{{"version":"{long}"}}"#),
        format!(r#"{{"signing_keys":[{{"kid":"{long}"}}]}}"#),
        format!(r#"{{"dependencies":{{"{long}":{{"ready":true}}}}}}"#),
        format!(r#"{{"revocation":{{"mode":"{long}"}}}}"#),
        format!(r#"{{"dependencies":{{"database":{{"ready":false,"reason":"{long}"}}}}}}"#),
        deep,
        r#"{"version":"1","version":"2"}"#.to_owned(),
    ] {
        assert_eq!(parse(&answer(&hostile)), Err(Fault::NoReport), "{hostile:.100}");
    }
    let message = "ä\\n".repeat(4000);
    let report = format!(r#"{{"dependencies":{{"database":{{"ready":false,"message":"{message}"}}}}}}"#);
    let report = parse(&answer(&report)).unwrap().unwrap();
    let kept = &report.dependencies["database"].message;
    assert!(kept.len() <= bounded::MESSAGE + 3 && kept.ends_with('…') && !kept.contains('\n'), "{kept}");
}

proptest! {
    #[test]
    fn a_report_takes_little_whatever_is_in_it(
        keys in vec((".{0,64}", option::of(".{0,64}")), 0..20),
        dependencies in btree_map(".{0,64}", ".{0,2000}", 0..20),
        version in option::of(".{0,64}"),
        rest in vec(".{0,100}", 0..20),
    ) {
        let keys: Vec<_> = keys.iter().map(|(kid, phase)| json!({"kid": kid, "phase": phase, "rest": rest})).collect();
        let dependencies: BTreeMap<_, _> =
            dependencies.iter().map(|(name, message)| (name, json!({"ready": true, "message": message, "rest": rest}))).collect();
        let body = json!({"version": version, "signing_keys": keys, "dependencies": dependencies, "rest": rest});
        if let Ok(Some(report)) = parse(&answer(&body.to_string())) {
            prop_assert!(bytes_of(&report) < 16 * 1024, "{} bytes", bytes_of(&report));
        }
    }
}

/// The result for a server that sends these parts, with this pause after each.
async fn asked(
    parts: impl Iterator<Item = Vec<u8>> + Send + 'static,
    pause: Duration,
) -> Result<Option<Report>, Fault> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap() > 0 {}
        for part in parts {
            if stream.write_all(&part).await.is_err() {
                break;
            }
            tokio::time::sleep(pause).await;
        }
    });
    let found = tokio::time::timeout(Duration::from_secs(20), ask(address)).await.expect("an end");
    server.abort();
    found
}

#[tokio::test]
async fn an_answer_without_an_end_is_left() {
    let endless = std::iter::repeat_with(|| answer(&" ".repeat(1000)));
    assert_eq!(asked(endless, Duration::ZERO).await, Err(Fault::TooLong));
    let trickle = std::iter::repeat_with(|| b"H".to_vec());
    assert_eq!(asked(trickle, Duration::from_millis(20)).await, Err(Fault::TooSlow));
    let good = [answer("{}")].into_iter();
    assert!(matches!(asked(good, Duration::ZERO).await, Ok(Some(_))));
}

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

#[test]
fn the_documented_report_is_understood() {
    let body = br#"{"version":"0.1.0","schema_version":1,"signing_keys":[{"kid":"k","alg":"ES256","phase":"active"}],"revocation":{"mode":"redis","message":""},"dependencies":{"database":{"ready":true,"message":"ok"}}}"#;
    let report = parse(body).unwrap();
    assert_eq!(report.version.as_deref(), Some("0.1.0"));
    assert_eq!(report.signing_keys[0].kid, "k");
    assert!(report.dependencies["database"].ready);
}

#[test]
fn a_report_without_clients_is_one_of_an_earlier_release() {
    let clients = |body: &str| parse(body.as_bytes()).unwrap().clients;
    assert_eq!(clients("{}"), LoadedClients::Unsupported);
    assert_eq!(clients(r#"{"clients": null}"#), LoadedClients::Missing);
    let loaded = clients(r#"{"clients": {"serial": 7, "count": 3}}"#);
    assert_eq!(loaded, LoadedClients::Serial(7));
}

#[test]
fn a_schema_is_missing_only_in_a_database_that_responds() {
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
        clients: LoadedClients::Unsupported,
        database_pool: None,
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
fn a_report_is_bounded() {
    let key = |n: usize| format!(r#"{{"kid":"k{n}","phase":"active"}}"#);
    let keys =
        |count| format!(r#"{{"signing_keys":[{}]}}"#, (0..count).map(key).collect::<Vec<_>>().join(","));
    let named = |n: usize| format!(r#""d{n}":{{"ready":true}}"#);
    let same = |_: usize| r#""d":{"ready":true}"#.to_owned();
    let all = |members: Vec<String>| format!(r#"{{"dependencies":{{{}}}}}"#, members.join(","));
    assert!(parse(keys(bounded::KEYS).as_bytes()).is_ok());
    assert!(parse(all((0..bounded::DEPENDENCIES).map(named).collect()).as_bytes()).is_ok());
    let long = "x".repeat(bounded::NAME + 1);
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    // Unknown fields are ignored at any depth.
    assert!(parse(format!(r#"{{"later":{deep}}}"#).as_bytes()).is_ok());
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
        assert_eq!(parse(hostile.as_bytes()), Err(Fault::NoReport), "{hostile:.100}");
    }
    let message = "ä\\n".repeat(4000);
    let report = format!(r#"{{"dependencies":{{"database":{{"ready":false,"message":"{message}"}}}}}}"#);
    let report = parse(report.as_bytes()).unwrap();
    let message = &report.dependencies["database"].message;
    assert!(
        message.len() <= bounded::MESSAGE + 3 && message.ends_with('…') && !message.contains('\n'),
        "{message}"
    );
}

proptest! {
    #[test]
    fn a_report_takes_little_memory(
        keys in vec((".{0,64}", option::of(".{0,64}")), 0..20),
        dependencies in btree_map(".{0,64}", ".{0,2000}", 0..20),
        version in option::of(".{0,64}"),
        rest in vec(".{0,100}", 0..20),
    ) {
        let keys: Vec<_> = keys.iter().map(|(kid, phase)| json!({"kid": kid, "phase": phase, "rest": rest})).collect();
        let dependencies: BTreeMap<_, _> =
            dependencies.iter().map(|(name, message)| (name, json!({"ready": true, "message": message, "rest": rest}))).collect();
        let body = json!({"version": version, "signing_keys": keys, "dependencies": dependencies, "rest": rest});
        if let Ok(report) = parse(body.to_string().as_bytes()) {
            prop_assert!(bytes_of(&report) < 16 * 1024, "{} bytes", bytes_of(&report));
        }
    }
}

/// The result for a server that sends these parts, with this pause after each.
async fn result_of(
    parts: impl Iterator<Item = Vec<u8>> + Send + 'static,
    pause: Duration,
) -> Result<Option<Report>, Fault> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap() > 0 {}
        // As a service mesh's proxy does.
        if !request.starts_with(b"GET /status HTTP/1.1\r\n") {
            let _ = stream.write_all(b"HTTP/1.1 426 Upgrade Required\r\n\r\n").await;
            return;
        }
        for part in parts {
            if stream.write_all(&part).await.is_err() {
                break;
            }
            tokio::time::sleep(pause).await;
        }
    });
    let found = tokio::time::timeout(Duration::from_secs(20), query(address)).await.expect("an end");
    server.abort();
    found
}

async fn result_of_text(response: &str) -> Result<Option<Report>, Fault> {
    result_of([response.as_bytes().to_vec()].into_iter(), Duration::ZERO).await
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_report_is_read_with_a_length_or_in_chunks_or_until_the_connection_ends() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"version\":\"1\"}".to_owned(),
        "HTTP/1.1 200 OK\r\n\r\n{\"version\":\"1\"}".to_owned(),
        "HTTP/1.0 200 OK\r\n\r\n{\"version\":\"1\"}".to_owned(),
        format!("{CHUNKED}a\r\n{{\"version\"\r\n5\r\n:\"1\"}}\r\n0\r\n\r\n"),
    ] {
        let report = result_of_text(&response).await;
        assert_eq!(report.unwrap().unwrap().version.as_deref(), Some("1"), "{response}");
    }
}

#[tokio::test]
async fn any_other_response_is_no_report() {
    for response in [
        "HTTP/1.1 503 No\r\n\r\n{}",
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/status\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
    ] {
        assert_eq!(result_of_text(response).await, Ok(None), "{response}");
    }
    assert_eq!(result_of_text("HTTP/1.1 200 OK\r\n\r\nno").await, Err(Fault::NoReport));
    // A proxy that demands mTLS closes the connection, sends a TLS alert, or denies the request.
    for response in [
        "",
        "200",
        "\u{15}\u{3}\u{3}\0\u{2}\u{2}(",
        "HTTP/1.1 403 Forbidden\r\n\r\n",
        "HTTP/1.1 426 Upgrade Required\r\n\r\n",
    ] {
        assert_eq!(result_of_text(response).await, Err(Fault::Denied), "{response:?}");
    }
}

#[tokio::test]
async fn a_response_without_an_end_is_abandoned() {
    let with_head = |head: &str, rest: &str| {
        let (head, rest) = (head.as_bytes().to_vec(), rest.as_bytes().to_vec());
        std::iter::once(head).chain(std::iter::repeat(rest))
    };
    let spaces = " ".repeat(1000);
    let chunk = format!("3e8\r\n{spaces}\r\n");
    for (head, rest) in [
        ("HTTP/1.1 200 OK\r\n\r\n", spaces.as_str()),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", &spaces),
        (CHUNKED, &chunk),
        // A head without an end.
        ("HTTP/1.1 200 OK\r\nX: ", &"x".repeat(1000)),
    ] {
        assert_eq!(result_of(with_head(head, rest), Duration::ZERO).await, Err(Fault::TooLong), "{head}");
    }
    let slow = |head, rest| result_of(with_head(head, rest), Duration::from_millis(20));
    let (whole, chunked, no_head) = tokio::join!(
        slow("HTTP/1.1 200 OK\r\n\r\n", " "),
        slow(CHUNKED, "1\r\n \r\n"),
        slow("HTTP/1.1 200 OK\r\nX: ", "x"),
    );
    assert_eq!((whole, chunked, no_head), (Err(Fault::TooSlow), Err(Fault::TooSlow), Ok(None)));
}

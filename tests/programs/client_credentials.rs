//! OAuth libraries get access tokens for a registered client itself, call an API with them and verify them. They know only
//! the issuer and the client's credentials.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::clients_file::{TestClient, credential};
use latchkey_tests::forged_tokens::claim;
use latchkey_tests::process::{run_with_input, temporary_folder};
use latchkey_tests::programs::workspace;
use serde_json::{Value, json};

use crate::https::Https;
use crate::spring;
use crate::verifiers::prepared;

const AUDIENCE: &str = "https://api.example.com";
const PAGE: &str = "docs/how-to/authenticate-applications.md";

struct Case {
    https: Https,
    client: TestClient,
}

impl Case {
    async fn start() -> Self {
        let mut client = TestClient::new("shop.orders", &["orders:read", "orders:write"])
            .with("audiences", json!([AUDIENCE, "https://other.example.com"]));
        // RFC 6749 §2.3.1 requires these characters to be encoded; Authlib sends them as they are.
        client.secret = format!("{} +%41:/", client.secret);
        client = client.clone().with("credentials", json!([credential(&client.secret)]));
        let setup = App::setup().clients(std::slice::from_ref(&client)).set("TOKEN_AUDIENCE", AUDIENCE);
        Self { https: Https::start(setup).await, client }
    }

    /// What a program printed.
    fn run(&self, command: &mut Command) -> Value {
        let input = json!({
            "issuer": self.https.issuer, "audience": AUDIENCE,
            "api": format!("{}{}", self.https.app.server().api, path::VERIFY),
            "client_id": self.client.id, "client_secret": self.client.secret,
        });
        let output = run_with_input(self.https.trusted_by(command), &input.to_string());
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Asserts that a library got a valid token with each method of authentication.
    async fn assert_tokens(&self, seen: &Value) {
        for method in ["basic", "post"] {
            assert_eq!(seen[method]["scope"], "orders:read", "{method}: {seen}");
            self.assert_token(seen[method]["access_token"].as_str().unwrap()).await;
        }
    }

    async fn assert_token(&self, token: &str) {
        let claims = ["iss", "sub", "client_id", "aud", "scope"].map(|name| claim(token, name));
        let (issuer, id) = (self.https.issuer.as_str(), self.client.id.as_str());
        assert_eq!(claims, [issuer, id, id, AUDIENCE, "orders:read"].map(Value::from));
        let answer = self.https.app.get(path::VERIFY).bearer_auth(token).answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// The parts of a program that the documentation contains.
#[track_caller]
fn assert_documented(source: &str, page: &str) {
    let text = fs::read_to_string(workspace().join(source)).unwrap();
    let marker = format!(" documented: {page}\n");
    let (_, from) = text.split_once(&marker).unwrap();
    let end = from.lines().position(|line| matches!(line.trim(), "// end" | "# end")).unwrap();
    let lines: Vec<_> = from.lines().take(end).collect();
    let indented = lines.iter().all(|line| line.is_empty() || line.starts_with("    "));
    let lines = lines.into_iter().map(|line| if indented { line.get(4..).unwrap_or("") } else { line });
    let settings = lines.collect::<Vec<_>>().join("\n").replace("static ", "");
    let page = fs::read_to_string(workspace().join(page)).unwrap();
    assert!(page.contains(settings.trim_end()), "the page does not contain:\n{settings}");
}

#[test]
fn the_documented_code_is_that_which_is_tested() {
    for source in [
        "go/clientcredentials/main.go",
        "python/client_credentials.py",
        "node/client_credentials.mjs",
        "java/Client.java",
    ] {
        assert_documented(&format!("tests/programs/{source}"), PAGE);
    }
}

#[tokio::test]
async fn golang_clientcredentials() {
    let case = Case::start().await;
    let seen = case.run(&mut Command::new(prepared("go").join("clientcredentials")));

    case.assert_tokens(&seen).await;
    assert_eq!(seen["called"], 200, "{seen}");
    assert_eq!(seen["wrong_secret"], json!({ "error": "invalid_client", "status": 401 }), "{seen}");
    assert_eq!(seen["more_scopes"], json!({ "error": "invalid_scope", "status": 400 }), "{seen}");
}

#[tokio::test]
async fn authlib() {
    let case = Case::start().await;
    let mut command = Command::new(prepared("python").join("bin/python"));
    let seen = case.run(command.arg(workspace().join("tests/programs/python/client_credentials.py")));

    case.assert_tokens(&seen).await;
    assert_eq!((&seen["called"], &seen["renewed"]), (&json!(200), &json!(true)), "{seen}");
    assert_eq!(seen["protected"]["client_id"], case.client.id, "{seen}");
    for (refusal, error) in [
        ("wrong_secret", "invalid_client"),
        ("more_scopes", "invalid_scope"),
        ("missing_scope", "insufficient_scope"),
        ("other_audience", "invalid_token"),
    ] {
        assert_eq!(seen[refusal], error, "{refusal}: {seen}");
    }
}

#[tokio::test]
async fn openid_client_and_oauth4webapi() {
    let case = Case::start().await;
    let mut command = Command::new("node");
    command.arg(workspace().join("tests/programs/node/client_credentials.mjs")).current_dir(prepared("node"));
    let seen = case.run(&mut command);

    for library in ["openid_client", "oauth4webapi"] {
        let seen = &seen[library];
        case.assert_tokens(seen).await;
        // RFC 6749 §5.2: here the challenge is what they look at.
        assert_eq!(seen["wrong_secret"]["status"], 401, "{seen}");
        assert_eq!(seen["more_scopes"], json!({ "error": "invalid_scope", "status": 400 }), "{seen}");
    }
    assert_eq!(seen["openid_client"]["called"], 200, "{seen}");
    assert_eq!(seen["oauth4webapi"]["verified"]["client_id"], case.client.id, "{seen}");
    assert_ne!(seen["oauth4webapi"]["other_audience"], "none");
}

#[tokio::test]
async fn spring_security() {
    let case = Case::start().await;
    let folder = temporary_folder("spring-");
    let store: PathBuf = case.https.trust_store(folder.path());
    let mut command = Command::new("java");
    command
        .arg(format!("-Djavax.net.ssl.trustStore={}", store.display()))
        .arg("-Djavax.net.ssl.trustStorePassword=changeit")
        .arg("-cp")
        .arg(prepared("java").join("lib/*"))
        .arg(workspace().join("tests/programs/java/Client.java"));
    let input = [case.https.issuer.as_str(), &case.client.id, &case.client.secret].join("\n");
    let output = run_with_input(&mut command, &input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let outcomes: Vec<_> = printed.lines().collect();

    let accepted: Vec<_> = outcomes[..2]
        .iter()
        .map(|outcome| outcome.strip_prefix("accepted [orders:read] ").unwrap_or_else(|| panic!("{outcome}")))
        .collect();
    for token in &accepted {
        case.assert_token(token).await;
    }
    // Spring Security reads the error from responses with the status 400 only, and RFC 6749 §5.2 requires 401.
    assert_eq!(outcomes[2..], ["refused invalid_token_response", "refused invalid_scope"]);

    let server = spring::ResourceServer {
        app: &case.https.app,
        issuer: &case.https.issuer,
        audience: AUDIENCE,
        algorithm: "ES256",
    };
    let accepted = server.verify(&accepted);
    assert_eq!(accepted[0][0], "accepted shop.orders [SCOPE_orders:read]", "{accepted:?}");
    let other =
        case.client.token_response(&case.https.app, &[("resource", "https://other.example.com")]).await;
    let other = other.ok(200)["access_token"].as_str().unwrap().to_owned();
    let refused = server.verify(&[&other]);
    assert!(refused[0][0].starts_with("refused"), "{refused:?}");
}

//! Spring Security's resource server with the settings of docs/how-to/verify-access-tokens.md, word for word.

use std::fs;
use std::process::Command;

use latchkey_tests::app::{App, ISSUER, path};
use latchkey_tests::forged_tokens::{Forged, claim};
use latchkey_tests::key_set;
use latchkey_tests::process::run_with_input;
use latchkey_tests::programs::workspace;

use crate::verifiers::prepared;

const SOURCE: &str = "tests/programs/java/Verify.java";

/// An application with Spring Security that verifies tokens of this issuer.
pub struct ResourceServer<'a> {
    pub app: &'a App,
    pub issuer: &'a str,
    pub audience: &'a str,
    pub algorithm: &'a str,
}

impl ResourceServer<'_> {
    /// What Spring Security says of each token: with the documented settings, and with its own defaults.
    pub fn verify(&self, tokens: &[&str]) -> Vec<[String; 2]> {
        let keys = format!("{}{}", self.app.server().api, path::JWKS);
        let mut lines = vec![keys.as_str(), self.issuer, self.audience, self.algorithm];
        lines.extend(tokens);
        let mut command = Command::new("java");
        command.arg("-cp").arg(prepared("java").join("lib/*")).arg(workspace().join(SOURCE));
        let output = run_with_input(&mut command, &lines.join("\n"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).unwrap();
        let outcomes = printed.lines().map(|line| line.split_once('\t').unwrap());
        outcomes.map(|(documented, defaults)| [documented.to_owned(), defaults.to_owned()]).collect()
    }
}

#[test]
fn the_documented_settings_are_those_that_are_tested() {
    let source = fs::read_to_string(workspace().join(SOURCE)).unwrap();
    let (_, from) = source.split_once("    // documented: docs/how-to/verify-access-tokens.md\n").unwrap();
    let (settings, _) = from.split_once("    // end\n").unwrap();
    let lines: Vec<_> = settings.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
    let settings = lines.join("\n").replace("static JwtDecoder", "JwtDecoder");
    let page = fs::read_to_string(workspace().join("docs/how-to/verify-access-tokens.md")).unwrap();
    assert!(page.contains(&settings), "{settings}");
}

async fn verifies(algorithm: &str) {
    let key = key_set::generate(algorithm);
    let app = App::setup().keys(vec![key.clone()]).start().await;
    let (_, session) = app.new_session("spring").await;
    let pattern = Forged::from_token(&session.access);
    let signature = session.access.rsplit_once('.').unwrap().1;
    let mut cases = vec![
        ("an access token", true, session.access.clone()),
        ("a refresh token", false, session.refresh.clone()),
        ("changed claims", false, format!("{}{signature}", pattern.clone().claim("sub", "1").unsigned())),
    ];
    // Other tokens that are signed by the key.
    if algorithm == "ES256" {
        let issued = claim(&session.access, "iat").as_i64().unwrap();
        let early = |seconds: i64| pattern.clone().claim("nbf", issued + seconds).sign(&key);
        let old = pattern.clone().claim("iat", issued - 9_000).claim("nbf", issued - 9_000);
        let late = |seconds: i64| old.clone().claim("exp", issued - seconds).sign(&key);
        cases.extend([
            ("of a clock that is 20 s ahead", true, early(20)),
            ("expired 20 s ago", true, late(20)),
            ("of a clock that is far ahead", false, early(3_600)),
            ("expired", false, late(3_600)),
            ("another's key", false, pattern.clone().sign(&key_set::generate(algorithm))),
            ("another issuer", false, pattern.clone().claim("iss", "https://other.test").sign(&key)),
            ("another audience", false, pattern.clone().claim("aud", "other").sign(&key)),
            ("no client", false, pattern.clone().without_claim("client_id").sign(&key)),
        ]);
    }
    let tokens: Vec<_> = cases.iter().map(|(_, _, token)| token.as_str()).collect();
    let server = ResourceServer { app: &app, issuer: ISSUER, audience: ISSUER, algorithm };
    let outcomes = server.verify(&tokens);
    assert_eq!(outcomes.len(), cases.len());
    for ((name, accepted, _), [documented, defaults]) in cases.iter().zip(&outcomes) {
        assert_eq!(documented == "accepted latchkey []", *accepted, "{name}: {documented}");
        // That is why the setting is documented.
        assert!(defaults.starts_with("refused"), "{name}: {defaults}");
    }
}

#[tokio::test]
async fn verifies_es256() {
    verifies("ES256").await;
}

#[tokio::test]
async fn verifies_rs256() {
    verifies("RS256").await;
}

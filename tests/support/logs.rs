//! What a log must never contain.

use uuid::Uuid;

/// A part of every password that the tests make up, so that one search finds any of them in a log.
pub const SECRET_MARK: &str = "NeverLogged";

/// A password of a part that the tests start.
pub fn secret(of: &str) -> String {
    format!("{of}{SECRET_MARK}{}", Uuid::new_v4().simple())
}

/// What in a line gives a secret away, if anything does.
pub fn leak(line: &str) -> Option<&'static str> {
    if line.contains(SECRET_MARK) {
        return Some("a password");
    }
    // `{"` in base64url, which every JWT's header and every JSON payload begins with.
    if line.contains("eyJ") {
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
    fn finds_passwords_tokens_and_hashes_and_nothing_else() {
        assert_eq!(
            leak(&format!("connecting to redis://:{}@127.0.0.1", secret("redis"))),
            Some("a password")
        );
        assert_eq!(leak("bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln"), Some("a token"));
        assert_eq!(leak("stored $argon2id$v=19$m=19456"), Some("a password hash"));
        assert_eq!(leak(r#"{"message":"listening","api_addr":"127.0.0.1:1"}"#), None);
    }
}

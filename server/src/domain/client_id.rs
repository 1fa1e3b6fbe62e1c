//! The name of an OAuth client.

use std::sync::Arc;

/// The name that a client gave itself in a token request (RFC 6749 §2.2). It is not authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// The maximum length, in characters. Every request carries the name in its access token.
    pub const MAX_LENGTH: usize = 128;
    /// The name in access tokens of sessions for which no client was named.
    pub const NONE_NAMED: &'static str = "latchkey";

    /// `None` when it is empty, too long, or has a character other than VSCHAR (RFC 6749 appendix A.1).
    pub fn parse(text: &str) -> Option<Self> {
        let valid = (1..=Self::MAX_LENGTH).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
        valid.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in an access token.
    pub fn or_none_named(client: Option<&Self>) -> &str {
        client.map_or(Self::NONE_NAMED, Self::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::ClientId;

    #[test]
    fn a_client_has_a_bounded_printable_name() {
        for name in ["a", "my app", "https://app.example.com/id", "~!\"", &"x".repeat(128)] {
            assert_eq!(ClientId::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "a\nb", "a\u{0}", "\u{7f}", "zoë", &"x".repeat(129)] {
            assert_eq!(ClientId::parse(name), None, "{name:?}");
        }
    }
}

//! Why a request is refused, or an answer of the server is not used.

use http::StatusCode;

/// Why a token, or a request without one, is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none (RFC 6750 §3.1).
    #[error("An access token is needed.")]
    NoToken,
    /// It is malformed, of another kind, issuer or audience, or has expired or was revoked.
    #[error("The access token is not valid, has expired or was revoked.")]
    InvalidToken,
    /// It is valid, but lacks a scope or a group, or is not that of a person.
    #[error("The access token does not allow this.")]
    Insufficient,
    /// The keys or the revocations are unknown or too old. Never a yes.
    #[error("The access token cannot be checked just now; try again shortly.")]
    Unavailable,
}

impl Refusal {
    /// The status of the response.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoToken | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::Insufficient => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The value of `WWW-Authenticate` (RFC 6750 §3).
    pub fn challenge(self) -> Option<&'static str> {
        match self {
            Self::NoToken => Some("Bearer"),
            Self::InvalidToken => Some(r#"Bearer error="invalid_token""#),
            Self::Insufficient => Some(r#"Bearer error="insufficient_scope""#),
            Self::Unavailable => None,
        }
    }
}

/// Why an answer of the server was not used. The messages contain no secrets: reqwest prints addresses, and no address has
/// one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no answer: {}", chain(.0))]
    Http(#[from] reqwest::Error),
    #[error("the answer has the status {0}")]
    Status(StatusCode),
    #[error("the file cannot be read: {0}")]
    File(#[from] std::io::Error),
    #[error("the answer is not valid: {0}")]
    Invalid(&'static str),
}

fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

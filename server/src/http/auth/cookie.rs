//! The cookie `refresh_token`.

use axum::http::HeaderValue;
use axum::http::header::InvalidHeaderValue;

/// Sets the cookie for this many seconds. A JWT needs no quoting: base64url and dots.
pub fn set(token: &str, seconds: i64) -> Result<HeaderValue, InvalidHeaderValue> {
    HeaderValue::from_str(&format!(
        "refresh_token={token}; HttpOnly; Secure; SameSite=Lax; Path=/api/v1/auth; Max-Age={seconds}"
    ))
}

/// Clears the cookie.
pub fn clear() -> Result<HeaderValue, InvalidHeaderValue> {
    set("", 0)
}

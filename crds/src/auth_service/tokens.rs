//! Signature algorithm, lifetimes and key rotation of tokens.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;

/// Signature algorithm, lifetimes and key rotation of tokens.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!self.accessTokenTTL.matches('^([0-9]{1,6}[hms])+$') || !self.refreshTokenTTL.matches('^([0-9]{1,6}[hms])+$') || duration(self.refreshTokenTTL) >= duration(self.accessTokenTTL)")
        .message("spec.tokens.refreshTokenTTL must be at least as long as spec.tokens.accessTokenTTL: raise the first or lower the second"),
    validation = Rule::new(FEW_KEYS)
        .message("spec.tokens.keyRotation.interval must be at least a 200th of spec.tokens.refreshTokenTTL, because every key is retained until its last token has expired: raise the first or lower the second")
)]
pub struct Tokens {
    /// The signature algorithm. A change starts a key rotation: the new key is published before it is used for
    /// signing.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// Lifetime of access tokens: whole minutes, written with h, m and s, such as 15m or 168h.
    #[serde(rename = "accessTokenTTL", default = "default_access")]
    #[schemars(length(min = 2, max = 20))]
    #[x_kube(validation = Rule::new(WHOLE_MINUTES)
        .message("spec.tokens.accessTokenTTL must be whole minutes between 1m and 87840h (ten years), such as 15m, 1h30m or 168h"))]
    pub access_token_ttl: String,
    /// Lifetime of refresh tokens, after which a session that was not refreshed ends: whole minutes, written with h, m
    /// and s, such as 8760h.
    #[serde(rename = "refreshTokenTTL", default = "default_refresh")]
    #[schemars(length(min = 2, max = 20))]
    #[x_kube(validation = Rule::new(WHOLE_MINUTES)
        .message("spec.tokens.refreshTokenTTL must be whole minutes between 1m and 87840h (ten years), such as 720h or 8760h"))]
    pub refresh_token_ttl: String,
    /// The audience: the `aud` claim of every token. Default: the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300))]
    pub audience: Option<String>,
    /// Rotation of the signing key.
    #[serde(default, skip_serializing_if = "is_default")]
    pub key_rotation: KeyRotation,
    /// Whether the signing keys are deleted or retained when the AuthService is deleted. Without its keys, every issued
    /// token is invalid, also if the accounts live on in an external database.
    #[serde(default, skip_serializing_if = "is_default")]
    pub key_reclaim: KeyReclaim,
}

/// The reclaim policy of the signing keys.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyReclaim {
    /// The keys are deleted with the AuthService.
    #[default]
    Delete,
    /// The keys are retained, and a new AuthService of the same name with this policy uses them again.
    Retain,
}

/// Rotation of the signing key: at an interval, and on demand with an annotation (docs/how-to/rotate-signing-keys.md).
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KeyRotation {
    /// The age at which the signing key is rotated: whole minutes, at least 1h, such as 720h.
    #[serde(default = "default_interval")]
    #[schemars(length(min = 2, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,6}[hms])+$') && duration(self).getSeconds() % 60 == 0 && duration(self) >= duration('1h') && duration(self) <= duration('87840h')")
        .message("spec.tokens.keyRotation.interval must be whole minutes between 1h and 87840h (ten years), such as 720h"))]
    pub interval: String,
    /// The `max-age` of the key set's Cache-Control header, for which applications may cache the public keys: whole
    /// seconds, such as 5m. A new key is published for at least this long before it is used for signing. Applications
    /// that verify tokens themselves may trust a revoked key for this long.
    #[serde(default = "default_cache_time")]
    #[schemars(length(min = 2, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,6}[hms])+$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')")
        .message("spec.tokens.keyRotation.jwksCacheTime must be between 1s and 24h, such as 5m"))]
    pub jwks_cache_time: String,
}

const FEW_KEYS: &str = "!self.refreshTokenTTL.matches('^([0-9]{1,6}[hms])+$') || \
    !(has(self.keyRotation) && has(self.keyRotation.interval) ? self.keyRotation.interval : '720h').matches('^([0-9]{1,6}[hms])+$') || \
    duration(has(self.keyRotation) && has(self.keyRotation.interval) ? self.keyRotation.interval : '720h').getSeconds() * 200 \
        >= duration(self.refreshTokenTTL).getSeconds()";

fn default_interval() -> String {
    "720h".to_owned()
}

fn default_cache_time() -> String {
    "5m".to_owned()
}

impl Default for KeyRotation {
    fn default() -> Self {
        Self { interval: default_interval(), jwks_cache_time: default_cache_time() }
    }
}

const WHOLE_MINUTES: &str = "self.matches('^([0-9]{1,6}[hms])+$') && duration(self).getSeconds() % 60 == 0 \
    && duration(self) >= duration('1m') && duration(self) <= duration('87840h')";

fn default_access() -> String {
    "168h".to_owned()
}

fn default_refresh() -> String {
    "8760h".to_owned()
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            access_token_ttl: default_access(),
            refresh_token_ttl: default_refresh(),
            audience: None,
            key_rotation: KeyRotation::default(),
            key_reclaim: KeyReclaim::default(),
        }
    }
}

/// The signature algorithm.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// ECDSA with P-256; supported by all common libraries.
    #[default]
    ES256,
    /// Ed25519; the fastest, not supported by every library.
    EdDSA,
    /// RSA with 2048 bits; slow to sign, for old libraries.
    RS256,
}

impl Algorithm {
    /// The `alg` of RFC 7518 and RFC 8037.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
            Self::RS256 => "RS256",
        }
    }
}

/// An invalid lifetime.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TtlError {
    /// The text is not a sequence of numbers with the units h, m or s.
    #[error("`{0}` is not a duration such as 15m, 1h30m or 168h")]
    Malformed(String),
    /// The duration is not a whole number of minutes.
    #[error("`{0}` is not a whole number of minutes")]
    NotWholeMinutes(String),
    /// The duration is zero or longer than ten years.
    #[error("`{0}` is not between 1m and 87840h (ten years)")]
    OutOfRange(String),
}

/// Ten years of at most 366 days, in minutes.
const MAX_MINUTES: u64 = 10 * 366 * 24 * 60;

/// Parses a lifetime such as `15m`, `1h30m` or `168h` into minutes. It accepts the units h, m and s of Go's durations
/// any number of times, like the CEL rule of the API server.
///
/// # Errors
/// The text is not a duration, not whole minutes, or not between one minute and ten years.
pub fn parse_ttl(text: &str) -> Result<u32, TtlError> {
    let seconds = parse_seconds(text)?;
    if !seconds.is_multiple_of(60) {
        return Err(TtlError::NotWholeMinutes(text.to_owned()));
    }
    let minutes = seconds / 60;
    if !(1..=MAX_MINUTES).contains(&minutes) {
        return Err(TtlError::OutOfRange(text.to_owned()));
    }
    u32::try_from(minutes).map_err(|_| TtlError::OutOfRange(text.to_owned()))
}

/// Parses a duration of the same form into seconds.
///
/// # Errors
/// The text is not a duration.
pub fn parse_seconds(text: &str) -> Result<u64, TtlError> {
    let malformed = || TtlError::Malformed(text.to_owned());
    let mut seconds = 0_u64;
    let mut digits = String::new();
    for character in text.chars() {
        let unit = match character {
            '0'..='9' if digits.len() < 6 => {
                digits.push(character);
                continue;
            }
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return Err(malformed()),
        };
        seconds += unit * digits.parse::<u64>().map_err(|_| malformed())?;
        digits.clear();
    }
    if text.is_empty() || !digits.is_empty() {
        return Err(malformed());
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_defaults_are_seven_days_and_one_year() {
        let tokens = Tokens::default();
        assert_eq!(parse_ttl(&tokens.access_token_ttl), Ok(10_080));
        assert_eq!(parse_ttl(&tokens.refresh_token_ttl), Ok(525_600));
    }

    #[test]
    fn what_is_no_lifetime_is_refused() {
        for text in ["", "m", "15", "1d", "-5m", "1.5h", " 1m", "1m ", "1234567m"] {
            assert!(matches!(parse_ttl(text), Err(TtlError::Malformed(_))), "{text}");
        }
        assert!(matches!(parse_ttl("90s"), Err(TtlError::NotWholeMinutes(_))));
        assert!(matches!(parse_ttl("0m"), Err(TtlError::OutOfRange(_))));
        assert!(matches!(parse_ttl("87841h"), Err(TtlError::OutOfRange(_))));
    }

    proptest! {
        #[test]
        fn hours_minutes_and_whole_minutes_of_seconds_add_up(hours in 0_u32..1000, minutes in 1_u32..1000, more in 0_u32..1000) {
            let text = format!("{hours}h{minutes}m{}s", more * 60);
            prop_assert_eq!(parse_ttl(&text), Ok(hours * 60 + minutes + more));
        }

        #[test]
        fn no_text_at_all_makes_it_panic(text in ".{0,40}") {
            let _ = parse_ttl(&text);
        }
    }
}

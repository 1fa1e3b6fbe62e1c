//! The claims of an assertion with which a client authenticates (RFC 7521 §4.2, RFC 7523 §3).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::Number;

/// How far the clock of a client may be from this one. FAPI 2.0 Security Profile §5.3.2.1 requires at least 10 seconds and at
/// most a minute for `iat` and `nbf`.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);
/// How long an assertion can be used: from its `iat`, or if it has none, until its `exp`.
const LONGEST_USE: TimeDelta = TimeDelta::minutes(5);
/// The maximum length of `jti`, in bytes.
const MAX_JTI: usize = 256;

/// The claims of an assertion, or of the token of a Kubernetes service account.
#[derive(Debug, Clone, Deserialize)]
pub struct AssertionClaims {
    pub iss: String,
    pub sub: String,
    pub aud: Audiences,
    #[serde(deserialize_with = "required_seconds")]
    pub exp: i64,
    #[serde(default, deserialize_with = "seconds")]
    pub nbf: Option<i64>,
    #[serde(default, deserialize_with = "seconds")]
    pub iat: Option<i64>,
    #[serde(default)]
    pub jti: Option<String>,
    /// Present in the token of a service account only.
    #[serde(default, rename = "kubernetes.io")]
    pub kubernetes: Option<KubernetesClaims>,
}

/// The claim `kubernetes.io`.
#[derive(Debug, Clone, Deserialize)]
pub struct KubernetesClaims {
    /// The pod that the token is bound to.
    #[serde(default)]
    pub pod: Option<PodClaims>,
}

/// A pod. A pod that is created later under the same name has another uid.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PodClaims {
    pub name: String,
    pub uid: String,
}

/// One audience or several (RFC 7519 §4.1.3).
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Audiences {
    One(String),
    Several(Vec<String>),
}

impl Audiences {
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

/// A NumericDate (RFC 7519 §2) in whole seconds; a part of a second is dropped.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(deserializer)? else { return Ok(None) };
    let fraction = || {
        let duration = Duration::try_from_secs_f64(number.as_f64()?).ok()?;
        i64::try_from(duration.as_secs()).ok()
    };
    let found = number.as_i64().or_else(fraction);
    found.map(Some).ok_or_else(|| serde::de::Error::custom("a time is out of range"))
}

fn required_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    seconds(deserializer)?.ok_or_else(|| serde::de::Error::custom("a time is null"))
}

impl AssertionClaims {
    /// Checks the claims of an assertion that this client signed: everything except the signature and whether it was used
    /// before. Returns its `jti`, and until when that has to be remembered.
    ///
    /// # Errors
    /// The name of the claim that is not valid.
    pub fn check(
        &self,
        client_id: &str,
        own_names: &[&str],
        now: DateTime<Utc>,
    ) -> Result<(&str, DateTime<Utc>), &'static str> {
        if self.iss != client_id {
            return Err("iss");
        }
        if self.sub != client_id {
            return Err("sub");
        }
        // An assertion that is also for another server could be used there, and here by that server.
        let audiences = self.aud.as_slice();
        if audiences.is_empty() || !audiences.iter().all(|audience| own_names.contains(&audience.as_str())) {
            return Err("aud");
        }
        let time = |seconds: i64, name: &'static str| DateTime::from_timestamp(seconds, 0).ok_or(name);
        let expires_at = time(self.exp, "exp")?;
        let issued_at = self.iat.map(|iat| time(iat, "iat")).transpose()?;
        let not_before = self.nbf.map(|nbf| time(nbf, "nbf")).transpose()?;
        if issued_at.is_some_and(|issued_at| issued_at > now + LEEWAY) {
            return Err("iat");
        }
        if not_before.is_some_and(|not_before| not_before > now + LEEWAY) {
            return Err("nbf");
        }
        let usable_until = issued_at.map_or(expires_at, |issued_at| expires_at.min(issued_at + LONGEST_USE));
        if now >= usable_until + LEEWAY {
            return Err("exp");
        }
        if usable_until > now + LONGEST_USE + LEEWAY {
            return Err("exp");
        }
        let jti = self.jti.as_deref().filter(|jti| (1..=MAX_JTI).contains(&jti.len())).ok_or("jti")?;
        Ok((jti, usable_until + LEEWAY))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const NAMES: [&str; 2] = ["https://auth.example", "https://auth.example/api/v1/auth/token"];

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000, 0).unwrap()
    }

    fn claims(change: &Value) -> AssertionClaims {
        let mut claims = json!({
            "iss": "orders", "sub": "orders", "aud": NAMES[0], "exp": 1_000_060, "iat": 1_000_000, "jti": "1",
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        serde_json::from_value(claims).unwrap()
    }

    fn fault(change: &Value) -> Option<&'static str> {
        claims(change).check("orders", &NAMES, now()).err()
    }

    #[test]
    fn each_claim_is_checked() {
        assert_eq!(fault(&json!({})), None);
        for (change, expected) in [
            (json!({"iss": "other"}), "iss"),
            (json!({"sub": "other"}), "sub"),
            (json!({"aud": []}), "aud"),
            (json!({"aud": "https://auth.example/"}), "aud"),
            (json!({"aud": "https://other.example"}), "aud"),
            (json!({"aud": [NAMES[0], "https://other.example"]}), "aud"),
            (json!({"exp": 999_969}), "exp"),
            (json!({"exp": 999_970}), "exp"),
            (json!({"exp": -1}), "exp"),
            (json!({"exp": i64::MAX}), "exp"),
            (json!({"exp": 1_000_331, "iat": null}), "exp"),
            (json!({"iat": 1_000_031}), "iat"),
            (json!({"iat": 999_670}), "exp"),
            (json!({"nbf": 1_000_031}), "nbf"),
            (json!({"jti": null}), "jti"),
            (json!({"jti": ""}), "jti"),
            (json!({"jti": "x".repeat(257)}), "jti"),
        ] {
            assert_eq!(fault(&change), Some(expected), "{change}");
        }
        for change in [
            json!({"aud": NAMES[1]}),
            json!({"aud": NAMES}),
            json!({"exp": 999_971}),
            json!({"exp": 1_003_600}),
            json!({"exp": 1_000_330, "iat": null}),
            json!({"exp": 1_000_060.5, "iat": 999_999.5}),
            json!({"iat": 1_000_030}),
            json!({"nbf": 1_000_030}),
        ] {
            assert_eq!(fault(&change), None, "{change}");
        }
    }

    proptest! {
        /// Otherwise it could be used again after its `jti` was forgotten.
        #[test]
        fn an_assertion_is_remembered_as_long_as_it_can_be_used(
            exp in 999_000_i64..1_005_000, iat in proptest::option::of(999_000_i64..1_005_000), later in 0_i64..4_000,
        ) {
            let claims = claims(&json!({"exp": exp, "iat": iat}));
            if let Ok((_, until)) = claims.check("orders", &NAMES, now()) {
                prop_assert!(until <= now() + LONGEST_USE + LEEWAY + LEEWAY);
                let then = now() + TimeDelta::seconds(later);
                if claims.check("orders", &NAMES, then).is_ok() {
                    prop_assert!(then < until);
                }
            }
        }
    }
}

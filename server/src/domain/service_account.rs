//! The claims of a projected token of a Kubernetes service account.

use chrono::{DateTime, TimeDelta, Utc};

use super::client_assertion::{AssertionClaims, PodClaims};

/// The prefix of the username of a service account, before its namespace and its name.
const PREFIX: &str = "system:serviceaccount:";
/// The service account of every pod that does not name one.
const DEFAULT: &str = "default";
/// How old a token may be, and how long it may live. The kubelet requests tokens for an hour and replaces them earlier.
const LONGEST_LIFE: TimeDelta = TimeDelta::hours(1);
/// How far the clock of the API server may be from this one.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    pub namespace: String,
    pub name: String,
}

impl ServiceAccount {
    /// The service account with this username; `None` if it is another user's.
    pub fn of_username(username: &str) -> Option<Self> {
        let (namespace, name) = username.strip_prefix(PREFIX)?.split_once(':')?;
        let is_name = |text: &str| !text.is_empty() && !text.contains(':');
        (is_name(namespace) && is_name(name))
            .then(|| Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl From<(&str, &str)> for ServiceAccount {
    /// From its namespace and its name.
    fn from((namespace, name): (&str, &str)) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl AssertionClaims {
    /// Checks the claims of a token of a service account, before the API server is asked about it. Nothing is known about its
    /// signature, so that this refuses and never accepts.
    ///
    /// # Errors
    /// The name of what is not valid.
    pub fn check_service_account(
        &self,
        issuer: &str,
        now: DateTime<Utc>,
    ) -> Result<(ServiceAccount, PodClaims), &'static str> {
        let account = ServiceAccount::of_username(&self.sub).ok_or("sub")?;
        if account.name == DEFAULT {
            return Err("default");
        }
        if !self.aud.as_slice().iter().any(|audience| audience == issuer) {
            return Err("aud");
        }
        let pod = self.kubernetes.as_ref().and_then(|claims| claims.pod.clone()).ok_or("pod")?;
        let time = |seconds: i64, name: &'static str| DateTime::from_timestamp(seconds, 0).ok_or(name);
        let issued_at = time(self.iat.ok_or("iat")?, "iat")?;
        let expires_at = time(self.exp, "exp")?;
        if issued_at > now + LEEWAY || issued_at < now - LONGEST_LIFE - LEEWAY {
            return Err("iat");
        }
        // Without leeway: the access token expires with it.
        if expires_at <= now || expires_at - issued_at > LONGEST_LIFE + LEEWAY {
            return Err("exp");
        }
        Ok((account, pod))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://auth.example";

    fn check(change: &Value) -> Result<(ServiceAccount, PodClaims), &'static str> {
        let mut claims = json!({
            "iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:shop:orders", "aud": [ISSUER],
            "iat": 1_000_000, "nbf": 1_000_000, "exp": 1_003_600,
            "kubernetes.io": {"namespace": "shop", "pod": {"name": "orders-1", "uid": "u"}},
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let claims: AssertionClaims = serde_json::from_value(claims).unwrap();
        claims.check_service_account(ISSUER, DateTime::from_timestamp(1_000_000, 0).unwrap())
    }

    #[test]
    fn only_a_fresh_token_of_a_pod_for_this_issuer_is_worth_a_review() {
        let (account, pod) = check(&json!({})).unwrap();
        assert_eq!((account.namespace.as_str(), account.name.as_str()), ("shop", "orders"));
        assert_eq!((pod.name.as_str(), pod.uid.as_str()), ("orders-1", "u"));
        for (change, fault) in [
            (json!({"sub": "system:serviceaccount:shop:default"}), "default"),
            (json!({"sub": "system:serviceaccount:shop"}), "sub"),
            (json!({"sub": "system:serviceaccount::orders"}), "sub"),
            (json!({"sub": "system:serviceaccount:shop:orders:x"}), "sub"),
            (json!({"sub": "system:node:orders"}), "sub"),
            (json!({"aud": ["https://kubernetes.default.svc"]}), "aud"),
            (json!({"kubernetes.io": {}}), "pod"),
            (json!({"kubernetes.io": null}), "pod"),
            (json!({"iat": null}), "iat"),
            (json!({"iat": 996_369, "exp": 1_000_001}), "iat"),
            (json!({"iat": 1_000_031, "exp": 1_003_600}), "iat"),
            (json!({"exp": 1_003_631}), "exp"),
            (json!({"exp": 1_000_000}), "exp"),
        ] {
            assert_eq!(check(&change).unwrap_err(), fault, "{change}");
        }
        for change in [json!({"aud": ISSUER}), json!({"iat": 996_400, "exp": 1_000_001})] {
            assert!(check(&change).is_ok(), "{change}");
        }
    }
}

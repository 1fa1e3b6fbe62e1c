//! The values of Secrets that are known, so that they are removed wherever they occur.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;
use url::Url;

use super::text::{REMOVED, redact};

/// Shorter values occur by chance.
const SHORTEST: usize = 4;
/// Longer values are compared line by line.
const LONGEST: usize = 4096;
/// Values of Secrets that are public: names of users and databases, and modes.
const PUBLIC: [&str; 8] = ["latchkey", "postgres", "admin", "auth", "default", "true", "false", "root"];
/// The members of a JSON Web Key that are public.
const PUBLIC_MEMBERS: [&str; 14] =
    ["kid", "kty", "alg", "use", "crv", "x", "y", "n", "e", "phase", "key_ops", "since", "state", "status"];

/// Values to remove, the longest first.
#[derive(Default)]
pub struct Known(Vec<String>);

impl Known {
    /// Adds every value of a Secret, and its parts: lines, members of JSON, the login of a URL.
    pub fn add_secret(&mut self, secret: &Secret) {
        // The history of Helm, which nothing prints.
        if secret.type_.as_deref() == Some("helm.sh/release.v1") {
            return;
        }
        for value in secret.data.iter().flat_map(|data| data.values()) {
            self.add_value(&String::from_utf8_lossy(&value.0));
        }
    }

    /// Adds a value with its parts.
    pub fn add_value(&mut self, value: &str) {
        self.add(value);
        for line in value.lines() {
            self.add(line);
            // The form of redis.conf.
            self.add(line.split_whitespace().last().unwrap_or_default());
        }
        if let Ok(json) = serde_json::from_str::<Value>(value) {
            self.add_members(&json);
        }
        if let Ok(url) = Url::parse(value.trim()) {
            self.add(url.password().unwrap_or_default());
        }
        // The password as it stands in the URL.
        let login =
            value.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(login, _)| login);
        if let Some((_, password)) = login.and_then(|login| login.split_once(':')) {
            self.add(password);
            let decoded = Url::parse(&format!("x://h/?p={}", password.replace('+', "%2B")));
            let decoded =
                decoded.ok().and_then(|url| url.query_pairs().next().map(|(_, text)| text.into_owned()));
            self.add(&decoded.unwrap_or_default());
        }
    }

    fn add_members(&mut self, json: &Value) {
        match json {
            Value::String(text) => {
                self.add(text);
                // The member `auth` of a pull secret is a login in base64.
                let decoded = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                if let Some((_, password)) = decoded.as_deref().and_then(|login| login.split_once(':')) {
                    self.add(password);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.add_members(item)),
            Value::Object(members) => {
                let private = members.iter().filter(|(name, _)| !PUBLIC_MEMBERS.contains(&name.as_str()));
                private.for_each(|(_, member)| self.add_members(member));
            }
            _ => {}
        }
    }

    fn add(&mut self, text: &str) {
        let text = text.trim();
        if text.len() < SHORTEST || text.len() > LONGEST || PUBLIC.contains(&text) {
            return;
        }
        let escaped = serde_json::to_string(text).unwrap_or_default();
        let forms = [text.to_owned(), escaped.trim_matches('"').to_owned(), STANDARD.encode(text)];
        for form in forms {
            if let Err(at) = self.0.binary_search_by(|known| order(known, &form)) {
                self.0.insert(at, form);
            }
        }
    }

    /// The text without known values, and without what looks like a secret.
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.0 {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), REMOVED);
            }
        }
        redact(&text)
    }
}

/// Longer values first, so that no part of one remains.
fn order(one: &str, other: &str) -> std::cmp::Ordering {
    other.len().cmp(&one.len()).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_part_of_a_secret_is_removed_wherever_it_occurs() {
        let values = json!({"data": {
            "url": STANDARD.encode("postgres://auth:p%40ss%2Fword@db:5432/auth"),
            "keys.json": STANDARD.encode(r#"{"keys":[{"kid":"public-kid","d":"private-d"}]}"#),
            "valkey.conf": STANDARD.encode("requirepass redis-pass\nsave \"\"\n"),
            ".dockerconfigjson": STANDARD.encode(r#"{"auths":{"r":{"auth":"dTpwdWxsLXB3"}}}"#),
            "quoted": STANDARD.encode("with\"quote"),
        }});
        let mut known = Known::default();
        known.add_secret(&serde_json::from_value(values).expect("a Secret"));
        for secret in [
            "p%40ss%2Fword",
            "p@ss/word",
            "private-d",
            "redis-pass",
            "pull-pw",
            "dTpwdWxsLXB3",
            "with\"quote",
            "with\\\"quote",
            &STANDARD.encode("private-d"),
        ] {
            let redacted = known.redact(&format!("it says {secret} here"));
            assert_eq!(redacted, format!("it says {REMOVED} here"), "{secret}");
        }
        assert_eq!(known.redact("the key public-kid signs for auth"), "the key public-kid signs for auth");
    }
}

//! The lifetimes of tokens and the plan of the key rotation, parsed from the spec. Pure.

use latchkey_config::Minutes;
use latchkey_crds::auth_service::{self as api, TtlError, parse_seconds, parse_ttl};
use latchkey_keyset::Algorithm;

use crate::auth_service::problem::Problem;
use crate::signing_keys::Plan;

/// `spec.tokens`, parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub access_token_ttl: Minutes,
    pub refresh_token_ttl: Minutes,
    pub key_rotation: Plan,
}

/// Parses the durations of `spec.tokens`: the only place where they are read.
///
/// # Errors
/// The first field that the schema should have refused.
pub(crate) fn validate_tokens(spec: &api::Tokens) -> Result<Tokens, Problem> {
    let access_token_ttl = minutes(&spec.access_token_ttl, "spec.tokens.accessTokenTTL")?;
    let refresh_token_ttl = minutes(&spec.refresh_token_ttl, "spec.tokens.refreshTokenTTL")?;
    let interval = minutes(&spec.key_rotation.interval, "spec.tokens.keyRotation.interval")?;
    let cache_time = "spec.tokens.keyRotation.jwksCacheTime";
    let jwks_cache_time =
        parse_seconds(&spec.key_rotation.jwks_cache_time).map_err(|error| invalid(cache_time, &error))?;
    Ok(Tokens {
        access_token_ttl,
        refresh_token_ttl,
        key_rotation: Plan {
            algorithm: match spec.algorithm {
                api::Algorithm::ES256 => Algorithm::Es256,
                api::Algorithm::EdDSA => Algorithm::EdDsa,
                api::Algorithm::RS256 => Algorithm::Rs256,
            },
            interval: interval.as_seconds(),
            token_ttl: access_token_ttl.max(refresh_token_ttl).as_seconds(),
            jwks_cache_time: u32::try_from(jwks_cache_time).map_err(|_| out_of_range(cache_time))?,
        },
    })
}

fn minutes(text: &str, field: &str) -> Result<Minutes, Problem> {
    let minutes = parse_ttl(text).map_err(|error| invalid(field, &error))?;
    Minutes::new(minutes).ok_or_else(|| out_of_range(field))
}

fn invalid(field: &str, error: &TtlError) -> Problem {
    Problem::spec(format!("{field}: {error}."))
}

fn out_of_range(field: &str) -> Problem {
    Problem::spec(format!("{field} is out of range."))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tokens(spec: Value) -> Result<Tokens, Problem> {
        validate_tokens(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn every_duration_is_parsed() {
        let tokens = tokens(json!({
            "algorithm": "EdDSA", "accessTokenTTL": "15m", "refreshTokenTTL": "720h",
            "keyRotation": {"interval": "2h", "jwksCacheTime": "5m"},
        }))
        .unwrap();
        assert_eq!((tokens.access_token_ttl.get(), tokens.refresh_token_ttl.get()), (15, 720 * 60));
        let plan =
            Plan { algorithm: Algorithm::EdDsa, interval: 7200, token_ttl: 720 * 3600, jwks_cache_time: 300 };
        assert_eq!(tokens.key_rotation, plan);
    }

    #[test]
    fn a_problem_names_the_field() {
        for (field, spec) in [
            ("accessTokenTTL", json!({"accessTokenTTL": "90s"})),
            ("refreshTokenTTL", json!({"refreshTokenTTL": "1d"})),
            ("keyRotation.interval", json!({"keyRotation": {"interval": ""}})),
            ("keyRotation.jwksCacheTime", json!({"keyRotation": {"jwksCacheTime": "soon"}})),
        ] {
            let problem = tokens(spec).unwrap_err();
            assert!(problem.message.starts_with(&format!("spec.tokens.{field}: ")), "{}", problem.message);
        }
    }
}

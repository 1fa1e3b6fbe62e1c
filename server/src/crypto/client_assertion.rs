//! Assertions of clients: JWTs that this server did not sign.

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use latchkey_clients::{KeyAlgorithm, PublicKey};
use serde::de::IgnoredAny;
use uuid::{Builder, Uuid};

use crate::domain::AssertionClaims;

/// The maximum length, in bytes. Assertions have about 500, tokens of service accounts about 1200.
const MAX_LENGTH: usize = 16 * 1024;
/// The values of `typ` of an assertion; it may also have none. A JWT that the client signed for another purpose has another
/// one (RFC 8725 §3.11).
const TYPES: [&str; 2] = ["JWT", "client-authentication+jwt"];

/// An assertion whose signature is not verified.
pub struct UnverifiedAssertion<'a> {
    token: &'a str,
    /// The key that it names.
    pub kid: Option<String>,
    pub claims: AssertionClaims,
}

impl<'a> UnverifiedAssertion<'a> {
    /// Reads a JWT. `None` if it is none, or has critical extensions (RFC 7515 §4.1.11).
    pub fn read(token: &'a str) -> Option<Self> {
        if token.len() > MAX_LENGTH {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        let is_typed =
            header.typ.as_deref().is_none_or(|typ| TYPES.iter().any(|known| known.eq_ignore_ascii_case(typ)));
        if header.crit.is_some() || !is_typed {
            return None;
        }
        let mut parts = token.split('.');
        let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        Some(Self { token, kid: header.kid, claims })
    }

    /// Whether this key signed it. The key determines the algorithm, regardless of the header (RFC 8725 §3.1).
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let Some((key, algorithm)) = verification_key(key) else { return false };
        let mut validation = Validation::new(algorithm);
        // The claims are checked by `AssertionClaims`.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        jsonwebtoken::decode::<IgnoredAny>(self.token, &key, &validation).is_ok()
    }
}

fn verification_key(key: &PublicKey) -> Option<(DecodingKey, Algorithm)> {
    let rsa = || DecodingKey::from_rsa_components(key.n.as_deref()?, key.e.as_deref()?).ok();
    Some(match key.algorithm()? {
        KeyAlgorithm::Es256 => {
            let key = DecodingKey::from_ec_components(key.x.as_deref()?, key.y.as_deref()?).ok()?;
            (key, Algorithm::ES256)
        }
        KeyAlgorithm::EdDsa => (DecodingKey::from_ed_components(key.x.as_deref()?).ok()?, Algorithm::EdDSA),
        KeyAlgorithm::Rs256 => (rsa()?, Algorithm::RS256),
        KeyAlgorithm::Ps256 => (rsa()?, Algorithm::PS256),
    })
}

/// The id under which an assertion is remembered as used: clients choose their `jti` independently of each other.
pub fn assertion_id(client_id: &str, jti: &str) -> Uuid {
    let mut context = Context::new(&SHA256);
    // A client id has no spaces.
    for part in ["client assertion", " ", client_id, " ", jti] {
        context.update(part.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&context.finish().as_ref()[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A JWT with this header, whose signature has as many characters.
    fn jwt(header: &serde_json::Value, signature: usize) -> String {
        let claims = json!({ "iss": "a", "sub": "a", "aud": "b", "exp": 1 });
        let [header, claims] = [header, &claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        format!("{header}.{claims}.{}", "A".repeat(signature))
    }

    #[test]
    fn the_type_and_the_critical_extensions_of_an_assertion_are_checked() {
        for (header, is_read) in [
            (json!({ "alg": "ES256" }), true),
            (json!({ "alg": "ES256", "typ": "jwt" }), true),
            (json!({ "alg": "ES256", "typ": "client-authentication+JWT" }), true),
            (json!({ "alg": "ES256", "typ": "at+jwt" }), false),
            (json!({ "alg": "ES256", "crit": ["exp"] }), false),
            (json!({ "alg": "ES256", "typ": "JWT", "crit": ["b64"], "b64": true }), false),
        ] {
            assert_eq!(UnverifiedAssertion::read(&jwt(&header, 86)).is_some(), is_read, "{header}");
        }
    }

    #[test]
    fn an_assertion_has_at_most_16_kib() {
        let header = json!({ "alg": "ES256" });
        let others = jwt(&header, 0).len();
        let longest = jwt(&header, 16 * 1024 - others);
        assert!(UnverifiedAssertion::read(&longest).is_some());
        assert!(UnverifiedAssertion::read(&format!("{longest}A")).is_none());
    }

    #[test]
    fn each_client_has_its_own_ids() {
        let id = assertion_id("orders", "1");
        assert_eq!(id, assertion_id("orders", "1"));
        assert_ne!(id, assertion_id("orders", "2"));
        assert_ne!(id, assertion_id("billing", "1"));
        assert_ne!(assertion_id("a", "b c"), assertion_id("a", "bc"));
    }

    #[test]
    fn what_is_no_jwt_is_refused() {
        for text in ["", ".", "..", "a.b.c", "e30.e30.", "e30.e30.e30.e30", &"e".repeat(MAX_LENGTH + 1)] {
            assert!(UnverifiedAssertion::read(text).is_none(), "{text:?}");
        }
    }
}

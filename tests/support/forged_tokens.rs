//! Tokens that an attacker or a misconfigured issuer could create.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Map, Value};

/// A JSON object: a token's header or claims.
pub type Object = Map<String, Value>;

/// The parts of a token.
#[derive(Debug, Clone)]
pub struct Forged {
    /// The header.
    pub header: Object,
    /// The claims.
    pub claims: Object,
}

impl Forged {
    /// The parts of an issued token.
    ///
    /// # Panics
    /// When it is not a JWT.
    pub fn from_token(token: &str) -> Self {
        let mut parts = token.split('.');
        let mut next = || {
            let part = URL_SAFE_NO_PAD.decode(parts.next().expect("three parts")).expect("base64url");
            serde_json::from_slice(&part).expect("a JSON object")
        };
        Self { header: next(), claims: next() }
    }

    /// Sets a claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a claim.
    #[must_use]
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets a header parameter.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a header parameter.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Signs it with an ES256 key of a key set, regardless of the header.
    ///
    /// # Panics
    /// When the key is not a private P-256 JWK.
    pub fn sign(&self, key: &Value) -> String {
        self.sign_as(&EncodingKey::from_ec_der(&p256_pkcs8(key)), Algorithm::ES256)
    }

    /// Signs it with HMAC, regardless of the header.
    pub fn sign_hmac(&self, secret: &[u8]) -> String {
        self.sign_as(&EncodingKey::from_secret(secret), Algorithm::HS256)
    }

    /// The token with an empty signature.
    pub fn unsigned(&self) -> String {
        format!("{}.", self.signing_input())
    }

    fn sign_as(&self, key: &EncodingKey, algorithm: Algorithm) -> String {
        let input = self.signing_input();
        let signature = jsonwebtoken::crypto::sign(input.as_bytes(), key, algorithm).expect("a signature");
        format!("{input}.{signature}")
    }

    fn signing_input(&self) -> String {
        let part = |object: &Object| URL_SAFE_NO_PAD.encode(serde_json::to_vec(object).expect("JSON"));
        format!("{}.{}", part(&self.header), part(&self.claims))
    }
}

/// A claim of a token, which is not verified.
pub fn claim(token: &str, name: &str) -> Value {
    Forged::from_token(token).claims.get(name).cloned().unwrap_or_default()
}

/// PKCS #8 (RFC 5208) of a P-256 JWK. All lengths are fixed, so that the DER consists of the keys between constants.
fn p256_pkcs8(key: &Value) -> Vec<u8> {
    const BEFORE_PRIVATE: &[u8] = &[
        0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
        0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01,
        0x04, 0x20,
    ];
    const BEFORE_PUBLIC: &[u8] = &[0xa1, 0x44, 0x03, 0x42, 0x00, 0x04];
    let [d, x, y] = ["d", "x", "y"].map(|name| {
        let bytes = URL_SAFE_NO_PAD.decode(key[name].as_str().expect("a P-256 JWK")).expect("base64url");
        assert_eq!(bytes.len(), 32, "`{name}` of a P-256 JWK");
        bytes
    });
    [BEFORE_PRIVATE, &d, BEFORE_PUBLIC, &x, &y].concat()
}

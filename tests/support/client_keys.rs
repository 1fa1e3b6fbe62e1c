//! Keys with which clients sign assertions (`private_key_jwt`).

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::ISSUER;
use crate::process::{run_ok, temporary_folder};

/// The value of `client_assertion_type`.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A key pair.
pub struct ClientKey {
    algorithm: Algorithm,
    private: EncodingKey,
    /// The public key as a JWK.
    pub public: Value,
}

impl ClientKey {
    /// A new key with this id for `ES256`, `EdDSA`, `RS256` or `PS256`; of RSA with 2048 bits.
    ///
    /// # Panics
    /// When OpenSSL fails.
    pub fn generate(algorithm: &str, kid: &str) -> Self {
        let folder = temporary_folder("client-key-");
        let (private, public) = (folder.path().join("private.pem"), folder.path().join("public.der"));
        let options = match algorithm {
            "ES256" => &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..],
            "EdDSA" => &["ED25519"],
            _ => &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        };
        run_ok(
            Command::new("openssl").args(["genpkey", "-algorithm"]).args(options).arg("-out").arg(&private),
        );
        let mut export = Command::new("openssl");
        run_ok(
            export.args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(&private).arg("-out").arg(&public),
        );
        let pem = std::fs::read(&private).expect("the private key");
        let der = std::fs::read(&public).expect("the public key");
        let tail = |from: usize, length: usize| {
            let start = der.len() - from;
            URL_SAFE_NO_PAD.encode(&der[start..start + length])
        };
        let (name, private, public) = match algorithm {
            "ES256" => (
                Algorithm::ES256,
                EncodingKey::from_ec_pem(&pem),
                json!({ "kty": "EC", "crv": "P-256", "x": tail(64, 32), "y": tail(32, 32) }),
            ),
            "EdDSA" => (
                Algorithm::EdDSA,
                EncodingKey::from_ed_pem(&pem),
                json!({ "kty": "OKP", "crv": "Ed25519", "x": tail(32, 32) }),
            ),
            // The modulus of 256 bytes is followed by the exponent: its tag, its length and three bytes.
            _ => (
                if algorithm == "PS256" { Algorithm::PS256 } else { Algorithm::RS256 },
                EncodingKey::from_rsa_pem(&pem),
                json!({ "kty": "RSA", "n": tail(256 + 5, 256), "e": "AQAB" }),
            ),
        };
        let mut public = public;
        public["kid"] = kid.into();
        public["alg"] = algorithm.into();
        Self { algorithm: name, private: private.expect("a private key"), public }
    }

    /// The key as a credential in the registry, with a new id.
    pub fn credential(&self) -> Value {
        json!({ "id": Uuid::new_v4(), "kind": "key", "jwk": self.public })
    }

    /// A valid assertion of a client, with these changes of its claims. `null` removes a claim.
    pub fn assertion(&self, client_id: &str, changes: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = self.public["kid"].as_str().map(str::to_owned);
        self.assertion_with(&header, client_id, changes)
    }

    /// The same with another header.
    ///
    /// # Panics
    /// When it cannot be signed.
    pub fn assertion_with(&self, header: &Header, client_id: &str, changes: &Value) -> String {
        let now = Utc::now().timestamp();
        let mut claims = json!({
            "iss": client_id, "sub": client_id, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": Uuid::new_v4(),
        });
        let members = claims.as_object_mut().expect("an object");
        for (name, value) in changes.as_object().into_iter().flatten() {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        jsonwebtoken::encode(header, &claims, &self.private).expect("a signature")
    }
}

/// The form fields of an assertion.
pub fn assertion_form(assertion: &str) -> [(&str, &str); 2] {
    [("client_assertion_type", JWT_BEARER), ("client_assertion", assertion)]
}

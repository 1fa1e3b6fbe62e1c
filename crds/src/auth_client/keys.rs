//! Public keys and service accounts with which clients authenticate.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A JWK Set (RFC 7517) with public keys.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct Jwks {
    /// The keys, at most 4: during a rotation the old and the new one.
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(
        validation = Rule::new("self.size() == 1 || self.all(key, has(key.kid) && self.exists_one(other, has(other.kid) && other.kid == key.kid))")
            .message("spec.jwks.keys must have different kid, if there are several"),
        validation = Rule::new("self.all(key, !has(key.d))")
            .message("spec.jwks.keys must contain public keys only: leave out d and the other private members, and replace the key if others may have read it")
    )]
    pub keys: Vec<Jwk>,
}

/// A public key (RFC 7517, RFC 7518 section 6, RFC 8037): EC with P-256, OKP with Ed25519, or RSA with 2048 to 4096 bits.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("self.kty != 'EC' || (has(self.crv) && self.crv == 'P-256' && has(self.x) && has(self.y) && !has(self.n))")
        .message("spec.jwks.keys: a key of kty EC must have crv P-256, x and y"),
    validation = Rule::new("self.kty != 'OKP' || (has(self.crv) && self.crv == 'Ed25519' && has(self.x) && !has(self.y) && !has(self.n))")
        .message("spec.jwks.keys: a key of kty OKP must have crv Ed25519 and x"),
    validation = Rule::new("self.kty != 'RSA' || (has(self.n) && has(self.e) && !has(self.crv) && !has(self.x))")
        .message("spec.jwks.keys: a key of kty RSA must have n and e"),
    validation = Rule::new("!has(self.alg) || (self.kty == 'EC' ? self.alg == 'ES256' : (self.kty == 'OKP' ? self.alg == 'EdDSA' : self.alg in ['RS256', 'PS256']))")
        .message("spec.jwks.keys: alg must be ES256 for EC, EdDSA for OKP, RS256 or PS256 for RSA")
)]
pub struct Jwk {
    /// The kind of key.
    pub kty: KeyType,
    /// The id by which the client names the key in its assertions. Required if there are several keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[!-~]+$')")
        .message("spec.jwks.keys: kid must have printable ASCII characters only, without spaces"))]
    pub kid: Option<String>,
    /// The algorithm. Default: ES256, EdDSA or RS256, according to kty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub alg: Option<String>,
    /// The use: sig.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self == 'sig'")
        .message("spec.jwks.keys: use must be sig"))]
    pub usage: Option<String>,
    /// The curve: P-256 or Ed25519.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub crv: Option<String>,
    /// The x coordinate, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 43, max = 43))]
    pub x: Option<String>,
    /// The y coordinate, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 43, max = 43))]
    pub y: Option<String>,
    /// The modulus, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 342, max = 683))]
    pub n: Option<String>,
    /// The exponent: AQAB (65537).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self == 'AQAB'")
        .message("spec.jwks.keys: e must be AQAB (65537)"))]
    pub e: Option<String>,
    /// A private key, which is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub d: Option<String>,
}

/// The kind of a key. Symmetric keys are not accepted.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// A key of an elliptic curve.
    #[serde(rename = "EC")]
    Ec,
    /// A key of an Edwards curve.
    #[serde(rename = "OKP")]
    Okp,
    /// A key of RSA.
    #[serde(rename = "RSA")]
    Rsa,
}

impl KeyType {
    /// The value of `kty`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ec => "EC",
            Self::Okp => "OKP",
            Self::Rsa => "RSA",
        }
    }
}

/// A ServiceAccount in the namespace of the AuthClient.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccountName {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self != 'default'")
        .message("spec.serviceAccounts: every pod without a ServiceAccount of its own has the account default; create one for the application"))]
    pub name: String,
}

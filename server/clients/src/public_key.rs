//! The public key of a client, as a JSON Web Key (RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::rules::MAX_KID;

/// The bytes of a coordinate of P-256 and of an Ed25519 key.
const COORDINATE: usize = 32;
/// The shortest and the longest modulus of RSA, in bytes: 2048 bits (RFC 7518 §3.3) and 4096 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=512;
/// 65537, the only exponent that is accepted. Smaller ones are weak (NIST SP 800-56B §6.2), and no program generates others.
const EXPONENT: &str = "AQAB";

/// A public key with which signatures of a client are verified. A member that is not known, such as a private one, is an
/// error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKey {
    /// `EC`, `OKP` or `RSA`.
    pub kty: String,
    /// The id by which assertions name the key. Optional if the client has no other key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The algorithm. Optional, except that `PS256` has to be named: a key of RSA without it is for `RS256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig`, if it is set.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    /// The curve: `P-256` or `Ed25519`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// A coordinate of EC, or the key of OKP, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// The other coordinate of EC, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// The modulus of RSA, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// The exponent of RSA, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

/// An algorithm of a key. All are asymmetric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// ECDSA with P-256 and SHA-256 (RFC 7518 §3.4).
    Es256,
    /// Ed25519 (RFC 8037 §3.1).
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3).
    Rs256,
    /// RSASSA-PSS with SHA-256 (RFC 7518 §3.5).
    Ps256,
}

impl KeyAlgorithm {
    /// The names in JWTs and in metadata.
    pub const NAMES: [&str; 4] = ["ES256", "EdDSA", "RS256", "PS256"];
}

impl PublicKey {
    /// The one algorithm that the key is for (RFC 8725 §3.1); `None` if the key is not one of those that are accepted.
    pub fn algorithm(&self) -> Option<KeyAlgorithm> {
        match (self.kty.as_str(), self.crv.as_deref(), self.alg.as_deref()) {
            ("EC", Some("P-256"), None | Some("ES256")) => Some(KeyAlgorithm::Es256),
            ("OKP", Some("Ed25519"), None | Some("EdDSA")) => Some(KeyAlgorithm::EdDsa),
            ("RSA", None, None | Some("RS256")) => Some(KeyAlgorithm::Rs256),
            ("RSA", None, Some("PS256")) => Some(KeyAlgorithm::Ps256),
            _ => None,
        }
    }

    /// What makes the key another one: its point or its modulus.
    pub fn material(&self) -> &str {
        self.n.as_deref().or(self.x.as_deref()).unwrap_or_default()
    }

    /// The first rule that the key breaks, if it breaks one: the rest of a sentence that starts with it.
    pub fn fault(&self) -> Option<&'static str> {
        let Some(algorithm) = self.algorithm() else {
            return Some(
                "is not of a supported kind: EC with P-256 (ES256), OKP with Ed25519 (EdDSA) or RSA (RS256, PS256)",
            );
        };
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Some("has a use other than sig");
        }
        let is_name = |kid: &String| {
            (1..=MAX_KID).contains(&kid.len()) && kid.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if self.kid.as_ref().is_some_and(|kid| !is_name(kid)) {
            return Some("has a kid that is not 1 to 128 printable ASCII characters without spaces");
        }
        let (x, y) = (bytes(self.x.as_ref()), bytes(self.y.as_ref()));
        let is_coordinate =
            |found: &Option<Vec<u8>>| found.as_ref().is_some_and(|found| found.len() == COORDINATE);
        match algorithm {
            KeyAlgorithm::Es256 if !is_coordinate(&x) || !is_coordinate(&y) || self.has_rsa() => {
                Some("does not have x and y of 32 bytes in base64url, and nothing else")
            }
            KeyAlgorithm::EdDsa if !is_coordinate(&x) || self.y.is_some() || self.has_rsa() => {
                Some("does not have x of 32 bytes in base64url, and nothing else")
            }
            KeyAlgorithm::Rs256 | KeyAlgorithm::Ps256 => self.rsa_fault(),
            KeyAlgorithm::Es256 | KeyAlgorithm::EdDsa => None,
        }
    }

    fn has_rsa(&self) -> bool {
        self.n.is_some() || self.e.is_some()
    }

    fn rsa_fault(&self) -> Option<&'static str> {
        if self.x.is_some() || self.y.is_some() {
            return Some("has members of another kind of key");
        }
        let Some(modulus) = bytes(self.n.as_ref()) else {
            return Some("does not have n in base64url");
        };
        // The first byte tells how many bits the number has.
        let is_full = modulus.first().is_some_and(|first| *first >= 0x80);
        let is_odd = modulus.last().is_some_and(|last| last % 2 == 1);
        if !MODULUS.contains(&modulus.len()) || !is_full || !is_odd {
            return Some("is not RSA with 2048 to 4096 bits");
        }
        (self.e.as_deref() != Some(EXPONENT)).then_some("does not have the exponent AQAB (65537)")
    }
}

fn bytes(text: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

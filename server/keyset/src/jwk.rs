//! JSON Web Keys (RFC 7518 §6) and their conversion to DER.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pkcs1::der::Encode as _;
use serde::{Deserialize, Serialize};

use crate::KeySetError;
use crate::notes::KeyNotes;

/// The supported signature algorithms (RFC 7518 §3.1, RFC 8037 §3.1). All of them are asymmetric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256, for verifiers that support nothing newer.
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    /// The JOSE name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }
}

/// The phase of a key's life cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The key is in the JWKS, so that verifiers can cache it, but does not sign yet.
    Published,
    /// The key signs. Exactly one key of a set is active.
    Active,
    /// The key no longer signs, but tokens that it signed can be verified.
    Retiring,
}

impl Phase {
    /// The name in the key set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Active => "active",
            Self::Retiring => "retiring",
        }
    }
}

/// A private JWK. All parameters are base64url without padding.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateJwk {
    /// The public key.
    #[serde(flatten)]
    pub public: PublicJwk,
    /// The phase of its life cycle.
    pub latchkey_phase: Phase,
    /// The operator's notes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub latchkey_notes: KeyNotes,
    d: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dq: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qi: Option<String>,
}

impl fmt::Debug for PrivateJwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateJwk")
            .field("kid", &self.public.kid)
            .field("phase", &self.latchkey_phase)
            .finish_non_exhaustive()
    }
}

/// A public JWK, as in `/.well-known/jwks.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicJwk {
    /// The key id; generated keys have their RFC 7638 thumbprint.
    pub kid: String,
    /// The only algorithm with which the key may be used (RFC 8725 §3.1).
    pub alg: Algorithm,
    #[serde(rename = "use", default = "signature_use")]
    usage: String,
    kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
}

/// A public JWK Set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKeySet {
    /// The keys, in the order of the private set.
    pub keys: Vec<PublicJwk>,
}

/// Omits empty notes from the JSON.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn signature_use() -> String {
    "sig".to_owned()
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The parameters of a new RSA key, big-endian.
pub(crate) struct RsaParameters<'a> {
    pub n: &'a [u8],
    pub e: &'a [u8],
    pub d: &'a [u8],
    pub p: &'a [u8],
    pub q: &'a [u8],
    pub dp: &'a [u8],
    pub dq: &'a [u8],
    pub qi: &'a [u8],
}

impl PrivateJwk {
    pub(crate) fn es256(x: &[u8], y: &[u8], d: &[u8], phase: Phase) -> Self {
        let mut public = PublicJwk::empty(Algorithm::Es256, "EC");
        public.crv = Some("P-256".to_owned());
        public.x = Some(encode(x));
        public.y = Some(encode(y));
        Self::new(public, phase, d)
    }

    pub(crate) fn ed25519(x: &[u8], d: &[u8], phase: Phase) -> Self {
        let mut public = PublicJwk::empty(Algorithm::EdDsa, "OKP");
        public.crv = Some("Ed25519".to_owned());
        public.x = Some(encode(x));
        Self::new(public, phase, d)
    }

    pub(crate) fn rs256(parameters: &RsaParameters<'_>, phase: Phase) -> Self {
        let mut public = PublicJwk::empty(Algorithm::Rs256, "RSA");
        public.n = Some(encode(parameters.n));
        public.e = Some(encode(parameters.e));
        let mut key = Self::new(public, phase, parameters.d);
        key.p = Some(encode(parameters.p));
        key.q = Some(encode(parameters.q));
        key.dp = Some(encode(parameters.dp));
        key.dq = Some(encode(parameters.dq));
        key.qi = Some(encode(parameters.qi));
        key
    }

    fn new(mut public: PublicJwk, phase: Phase, d: &[u8]) -> Self {
        public.kid = public.thumbprint();
        Self {
            public,
            latchkey_phase: phase,
            latchkey_notes: KeyNotes::default(),
            d: encode(d),
            p: None,
            q: None,
            dp: None,
            dq: None,
            qi: None,
        }
    }

    /// The private key as DER: PKCS#8 for ES256 and EdDSA, PKCS#1 for RS256.
    ///
    /// # Errors
    /// [`KeySetError::Key`] if a parameter is missing or malformed, or the public key does not match the private key.
    pub fn to_der(&self) -> Result<Vec<u8>, KeySetError> {
        let field = |name, value: Option<&String>| self.public.decode(name, value);
        let (public, d) = (&self.public, field("d", Some(&self.d))?);
        let rejected =
            |_| public.error("has a public key that does not match its private key, or is malformed");
        match public.alg {
            Algorithm::Es256 => {
                public.expect_type("EC", Some("P-256"))?;
                let point = public.ec_point()?;
                let pair = EcdsaKeyPair::from_private_key_and_public_key(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    &d,
                    &point,
                )
                .map_err(rejected)?;
                let der = pair.to_pkcs8v1().map_err(|_| public.error("cannot be encoded"))?;
                Ok(der.as_ref().to_vec())
            }
            Algorithm::EdDsa => {
                public.expect_type("OKP", Some("Ed25519"))?;
                let x = field("x", public.x.as_ref())?;
                let pair = Ed25519KeyPair::from_seed_and_public_key(&d, &x).map_err(rejected)?;
                let der = pair.to_pkcs8v1().map_err(|_| public.error("cannot be encoded"))?;
                Ok(der.as_ref().to_vec())
            }
            Algorithm::Rs256 => {
                public.expect_type("RSA", None)?;
                let der = self.rsa_der(&d)?;
                let pair = RsaKeyPair::from_der(&der).map_err(rejected)?;
                if pair.public_modulus_len() < 256 {
                    // RFC 7518 §3.3
                    return Err(public.error("is shorter than 2048 bits"));
                }
                Ok(der)
            }
        }
    }

    #[expect(clippy::many_single_char_names, reason = "RFC 7518 §6.3 names the parameters so")]
    fn rsa_der(&self, d: &[u8]) -> Result<Vec<u8>, KeySetError> {
        let field = |name, value: Option<&String>| self.public.decode(name, value);
        let (n, e) = (field("n", self.public.n.as_ref())?, field("e", self.public.e.as_ref())?);
        let (p, q) = (field("p", self.p.as_ref())?, field("q", self.q.as_ref())?);
        let (dp, dq) = (field("dp", self.dp.as_ref())?, field("dq", self.dq.as_ref())?);
        let qi = field("qi", self.qi.as_ref())?;
        let malformed = |_| self.public.error("has a malformed RSA parameter");
        pkcs1::RsaPrivateKey {
            modulus: pkcs1::UintRef::new(&n).map_err(malformed)?,
            public_exponent: pkcs1::UintRef::new(&e).map_err(malformed)?,
            private_exponent: pkcs1::UintRef::new(d).map_err(malformed)?,
            prime1: pkcs1::UintRef::new(&p).map_err(malformed)?,
            prime2: pkcs1::UintRef::new(&q).map_err(malformed)?,
            exponent1: pkcs1::UintRef::new(&dp).map_err(malformed)?,
            exponent2: pkcs1::UintRef::new(&dq).map_err(malformed)?,
            coefficient: pkcs1::UintRef::new(&qi).map_err(malformed)?,
            other_prime_infos: None,
        }
        .to_der()
        .map_err(malformed)
    }
}

impl PublicJwk {
    fn empty(alg: Algorithm, kty: &str) -> Self {
        Self {
            kid: String::new(),
            alg,
            usage: signature_use(),
            kty: kty.to_owned(),
            crv: None,
            x: None,
            y: None,
            n: None,
            e: None,
        }
    }

    /// The modulus and exponent (base64url) of an RSA key.
    pub fn rsa_components(&self) -> Option<(&str, &str)> {
        self.n.as_deref().zip(self.e.as_deref())
    }

    /// The X and Y coordinates (base64url) of an EC key.
    pub fn ec_components(&self) -> Option<(&str, &str)> {
        self.x.as_deref().zip(self.y.as_deref())
    }

    /// The public key (base64url) of an Ed25519 key.
    pub fn ed_component(&self) -> Option<&str> {
        self.x.as_deref()
    }

    fn ec_point(&self) -> Result<Vec<u8>, KeySetError> {
        let (x, y) = (self.decode("x", self.x.as_ref())?, self.decode("y", self.y.as_ref())?);
        Ok([&[0x04], x.as_slice(), y.as_slice()].concat())
    }

    /// The hash of the required members in lexicographic order (RFC 7638 §3).
    fn thumbprint(&self) -> String {
        let part = |value: &Option<String>| value.clone().unwrap_or_default();
        let (kty, crv, x, y) = (&self.kty, part(&self.crv), part(&self.x), part(&self.y));
        let members = match self.alg {
            Algorithm::Es256 => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#),
            Algorithm::EdDsa => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}"}}"#),
            Algorithm::Rs256 => {
                format!(r#"{{"e":"{}","kty":"{kty}","n":"{}"}}"#, part(&self.e), part(&self.n))
            }
        };
        encode(digest::digest(&digest::SHA256, members.as_bytes()).as_ref())
    }

    fn expect_type(&self, kty: &str, crv: Option<&str>) -> Result<(), KeySetError> {
        if self.kty != kty || self.crv.as_deref() != crv {
            return Err(self.error("has a kty or crv that does not match its alg"));
        }
        if self.usage != "sig" {
            return Err(self.error("has a use other than sig"));
        }
        Ok(())
    }

    fn decode(&self, name: &str, value: Option<&String>) -> Result<Vec<u8>, KeySetError> {
        let text = value.ok_or_else(|| self.error(&format!("lacks the parameter {name}")))?;
        URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| self.error(&format!("has a parameter {name} that is not base64url")))
    }

    pub(crate) fn error(&self, reason: &str) -> KeySetError {
        KeySetError::Key { kid: self.kid.clone(), reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PrivateKeySet, generate};

    #[test]
    fn the_thumbprint_matches_the_example_of_rfc_7638() {
        let mut key = PublicJwk::empty(Algorithm::Rs256, "RSA");
        key.e = Some("AQAB".to_owned());
        key.n = Some(
            concat!(
                "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWK",
                "RXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMic",
                "AtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3",
                "XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
            )
            .to_owned(),
        );
        assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn each_algorithm_has_its_own_components_and_name() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
            let public = generate(algorithm, Phase::Active).unwrap().public;
            let (rsa, ec) = (public.rsa_components(), public.ec_components());
            assert_eq!(rsa.is_some(), algorithm == Algorithm::Rs256);
            assert_eq!(ec.is_some(), algorithm == Algorithm::Es256);
            assert_eq!(rsa, public.n.as_deref().zip(public.e.as_deref()));
            assert_eq!(ec, public.x.as_deref().zip(public.y.as_deref()));
            assert_eq!(public.ed_component(), public.x.as_deref());
            assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.as_str());
        }
        for phase in [Phase::Published, Phase::Active, Phase::Retiring] {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str());
        }
    }

    #[test]
    fn a_key_of_another_type_curve_or_use_is_refused() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
            let valid = generate(algorithm, Phase::Active).unwrap();
            let change: [fn(&mut PublicJwk); 3] = [
                |key| key.kty = "oct".to_owned(),
                |key| key.crv = Some("P-384".to_owned()),
                |key| key.usage = "enc".to_owned(),
            ];
            for change in change {
                let mut key = valid.clone();
                change(&mut key.public);
                let error = PrivateKeySet::new(vec![key]).unwrap_err();
                assert!(
                    error.to_string().contains("that does not match")
                        || error.to_string().contains("other than sig"),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn a_private_key_is_redacted() {
        let key = generate(Algorithm::EdDsa, Phase::Active).unwrap();
        let printed = format!("{key:?}");
        assert!(printed.contains(&key.public.kid), "{printed}");
        assert!(!printed.contains(&key.d), "{printed}");
    }
}

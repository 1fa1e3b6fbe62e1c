//! New keys, as private JWKs.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use latchkey_crds::auth_service::Algorithm;
use serde_json::{Map, Value, json};

use super::{KeySet, KeySetError, alg, rsa_private_key};

/// A key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The cryptographic library refused; it has no random bytes, say.
    #[error("the cryptographic library could not make a key")]
    Library,
    /// The library's key is not what it should be.
    #[error("the cryptographic library made a key of an unexpected shape")]
    Shape,
    /// What was made could not be read back.
    #[error("the key set that was made is not usable: {0}")]
    Unusable(#[from] KeySetError),
}

impl From<aws_lc_rs::error::Unspecified> for GenerateError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Library
    }
}

/// A key set with one new key, which signs.
///
/// # Errors
/// When the cryptographic library cannot make a key.
pub fn generate(algorithm: Algorithm) -> Result<KeySet, GenerateError> {
    let (public, private) = match algorithm {
        Algorithm::ES256 => ec_key()?,
        Algorithm::EdDSA => ed25519_key()?,
        Algorithm::RS256 => rsa_key()?,
    };
    let mut key = Map::new();
    key.insert("kid".to_owned(), Value::String(thumbprint(&public)));
    key.insert("alg".to_owned(), json!(alg(algorithm)));
    key.insert("use".to_owned(), json!("sig"));
    key.insert("latchkey_phase".to_owned(), json!("active"));
    for (name, value) in public.into_iter().chain(private) {
        key.insert(name.to_owned(), Value::String(value));
    }
    let json = json!({ "keys": [key] }).to_string();
    Ok(KeySet::parse(json.as_bytes())?)
}

type Members = Vec<(&'static str, String)>;

/// RFC 7518 §6.2.
fn ec_key() -> Result<(Members, Members), GenerateError> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    // SEC 1 §2.3.3, uncompressed: 0x04, x, y.
    let [4, point @ ..] = pair.public_key().as_ref() else { return Err(GenerateError::Shape) };
    let (x, y) = point.split_at_checked(32).filter(|(_, y)| y.len() == 32).ok_or(GenerateError::Shape)?;
    let scalar: EcPrivateKeyBin = pair.private_key().as_be_bytes()?;
    Ok((
        vec![("crv", "P-256".to_owned()), ("kty", "EC".to_owned()), ("x", encode(x)), ("y", encode(y))],
        vec![("d", encode(scalar.as_ref()))],
    ))
}

/// RFC 8037 §2.
fn ed25519_key() -> Result<(Members, Members), GenerateError> {
    let pair = Ed25519KeyPair::generate()?;
    let seed = pair.seed()?;
    let seed = seed.as_be_bytes()?;
    Ok((
        vec![
            ("crv", "Ed25519".to_owned()),
            ("kty", "OKP".to_owned()),
            ("x", encode(pair.public_key().as_ref())),
        ],
        vec![("d", encode(seed.as_ref()))],
    ))
}

/// RFC 7518 §6.3.
fn rsa_key() -> Result<(Members, Members), GenerateError> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let pkcs8: Pkcs8V1Der = pair.as_der()?;
    let [n, e, private @ ..] = rsa_private_key::numbers(pkcs8.as_ref()).ok_or(GenerateError::Shape)?;
    Ok((
        vec![("e", encode(e)), ("kty", "RSA".to_owned()), ("n", encode(n))],
        ["d", "p", "q", "dp", "dq", "qi"].into_iter().zip(private.map(encode)).collect(),
    ))
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// RFC 7638 §3: the SHA-256 of the required members in alphabetical order, without white space. They are
/// listed in that order above, and need no escaping.
fn thumbprint(public: &Members) -> String {
    let members: Vec<String> = public.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
    encode(digest(&SHA256, format!("{{{}}}", members.join(",")).as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_the_one_of_rfc_7638() {
        let members = vec![
            ("e", "AQAB".to_owned()),
            ("kty", "RSA".to_owned()),
            (
                "n",
                "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw".to_owned(),
            ),
        ];
        assert_eq!(thumbprint(&members), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }
}

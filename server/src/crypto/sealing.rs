//! Encrypting the token of a service account inside the access token that was issued for it. Every replica can decrypt it,
//! because the key is derived from the key that signed the access token.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// Separates this key from others that may be derived from the same signing key.
const PURPOSE: &[u8] = b"latchkey: tokens of service accounts";

/// A token of a Kubernetes service account. It is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceAccountToken(Arc<str>);

impl ServiceAccountToken {
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ServiceAccountToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServiceAccountToken(…)")
    }
}

/// AES-256-GCM with a key that is derived from a signing key (RFC 5869).
pub(super) struct SealingKey(LessSafeKey);

impl SealingKey {
    /// `private` is the private key in DER form.
    pub(super) fn derive(private: &[u8]) -> Option<Self> {
        let secret = Salt::new(HKDF_SHA256, &[]).extract(private);
        let key = secret.expand(&[PURPOSE], &AES_256_GCM).ok()?;
        Some(Self(LessSafeKey::new(UnboundKey::from(key))))
    }

    /// Encrypts a token for the access token with these ids. `None` if it is not a JWT, or there is no randomness.
    pub(super) fn seal(&self, token: &ServiceAccountToken, ids: [Uuid; 2]) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut content = pack(token.expose())?;
        let key = &self.0;
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(bound_to(ids)),
            &mut content,
        )
        .ok()?;
        Some(URL_SAFE_NO_PAD.encode([&nonce[..], &content].concat()))
    }

    /// Decrypts what [`Self::seal`] returned for the same ids.
    pub(super) fn open(&self, sealed: &str, ids: [Uuid; 2]) -> Option<ServiceAccountToken> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, content) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut content = content.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place(nonce, Aad::from(bound_to(ids)), &mut content).ok()?;
        unpack(opened).map(|text| ServiceAccountToken::new(&text))
    }
}

fn bound_to([one, other]: [Uuid; 2]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(one.as_bytes());
    bytes[16..].copy_from_slice(other.as_bytes());
    bytes
}

/// The three parts of a JWT without their base64url, which would make the access token a third longer. The first two are
/// preceded by their length.
fn pack(token: &str) -> Option<Vec<u8>> {
    let parts: Vec<_> =
        token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part)).collect::<Result<_, _>>().ok()?;
    let [header, claims, signature] = parts.try_into().ok()?;
    let length = |part: &Vec<u8>| Some(u16::try_from(part.len()).ok()?.to_be_bytes());
    let packed = [&length(&header)?[..], &header, &length(&claims)?, &claims, &signature].concat();
    // Base64url can have several spellings.
    (unpack(&packed)? == token).then_some(packed)
}

fn unpack(packed: &[u8]) -> Option<String> {
    let next = |bytes: &mut &[u8]| {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let (part, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        *bytes = rest;
        Some(URL_SAFE_NO_PAD.encode(part))
    };
    let mut rest = packed;
    let (header, claims) = (next(&mut rest)?, next(&mut rest)?);
    Some(format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [Uuid; 2] = [Uuid::from_u128(1), Uuid::from_u128(2)];

    #[test]
    fn a_sealed_token_is_opened_with_the_same_key_and_ids_only() {
        let (key, other) = (SealingKey::derive(b"one").unwrap(), SealingKey::derive(b"two").unwrap());
        let token = ServiceAccountToken::new("eyJhIjoxfQ.eyJiIjoyfQ.c2lnbmF0dXJl");
        let sealed = key.seal(&token, IDS).unwrap();
        assert_eq!(key.open(&sealed, IDS), Some(token.clone()));
        assert_ne!(key.seal(&token, IDS).unwrap(), sealed);
        assert_eq!(other.open(&sealed, IDS), None);
        assert_eq!(key.open(&sealed, [IDS[1], IDS[0]]), None);
        let mut changed = sealed.into_bytes();
        changed[20] ^= 1;
        assert_eq!(key.open(&String::from_utf8(changed).unwrap(), IDS), None);
        for text in ["", "!", "AAAA", &"A".repeat(64)] {
            assert_eq!(key.open(text, IDS), None, "{text}");
        }
        assert_eq!(format!("{token:?}"), "ServiceAccountToken(…)");
    }

    #[test]
    fn what_is_no_jwt_is_not_sealed() {
        let key = SealingKey::derive(b"one").unwrap();
        for text in ["", "a.b", "a.b.c.d", "!.!.!", "YR.YQ.YQ"] {
            assert_eq!(key.seal(&ServiceAccountToken::new(text), IDS), None, "{text}");
        }
    }
}

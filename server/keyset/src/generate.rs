//! Key generation.

use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use pkcs1::der::Decode as _;

use crate::KeySetError;
use crate::jwk::{Algorithm, Phase, PrivateJwk, RsaParameters};

/// Generates a private key, whose id is the RFC 7638 thumbprint of its public key.
///
/// # Errors
/// [`KeySetError::Generation`] if the system returns no randomness.
pub fn generate(algorithm: Algorithm, phase: Phase) -> Result<PrivateJwk, KeySetError> {
    match algorithm {
        Algorithm::Es256 => generate_es256(phase),
        Algorithm::EdDsa => generate_ed25519(phase),
        Algorithm::Rs256 => generate_rs256(phase),
    }
}

fn generate_es256(phase: Phase) -> Result<PrivateJwk, KeySetError> {
    let pair =
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| KeySetError::Generation)?;
    let scalar = pair.private_key().as_be_bytes().map_err(|_| KeySetError::Generation)?;
    // An uncompressed point: 0x04, 32 bytes of x, 32 bytes of y (SEC 1 §2.3.3).
    let point = pair.public_key().as_ref();
    let (x, y) = point[1..].split_at(32);
    Ok(PrivateJwk::es256(x, y, scalar.as_ref(), phase))
}

fn generate_ed25519(phase: Phase) -> Result<PrivateJwk, KeySetError> {
    let pair = Ed25519KeyPair::generate().map_err(|_| KeySetError::Generation)?;
    let seed = pair.seed().map_err(|_| KeySetError::Generation)?;
    let seed = seed.as_be_bytes().map_err(|_| KeySetError::Generation)?;
    Ok(PrivateJwk::ed25519(pair.public_key().as_ref(), seed.as_ref(), phase))
}

fn generate_rs256(phase: Phase) -> Result<PrivateJwk, KeySetError> {
    let pair = RsaPair::generate(KeySize::Rsa2048).map_err(|_| KeySetError::Generation)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeySetError::Generation)?;
    let outer = pkcs8::PrivateKeyInfo::from_der(der.as_ref()).map_err(|_| KeySetError::Generation)?;
    let key = pkcs1::RsaPrivateKey::from_der(outer.private_key).map_err(|_| KeySetError::Generation)?;
    let parameters = RsaParameters {
        n: key.modulus.as_bytes(),
        e: key.public_exponent.as_bytes(),
        d: key.private_exponent.as_bytes(),
        p: key.prime1.as_bytes(),
        q: key.prime2.as_bytes(),
        dp: key.exponent1.as_bytes(),
        dq: key.exponent2.as_bytes(),
        qi: key.coefficient.as_bytes(),
    };
    Ok(PrivateJwk::rs256(&parameters, phase))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrivateKeySet;

    #[test]
    fn a_generated_set_of_every_algorithm_parses() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
            let set = PrivateKeySet::new(vec![generate(algorithm, Phase::Active).unwrap()]).unwrap();
            assert_eq!(PrivateKeySet::parse(set.to_json().as_bytes()).unwrap(), set);
        }
    }

    #[test]
    fn a_public_key_of_another_private_key_is_refused() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
            let mut key = generate(algorithm, Phase::Active).unwrap();
            key.public = generate(algorithm, Phase::Active).unwrap().public;
            let error = PrivateKeySet::new(vec![key]).unwrap_err();
            assert!(error.to_string().contains("does not match"), "{error}");
        }
    }

    #[test]
    fn the_public_set_contains_no_private_parameter() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
            let set = PrivateKeySet::new(vec![generate(algorithm, Phase::Active).unwrap()]).unwrap();
            let public = serde_json::to_value(set.to_public()).unwrap();
            let members = public["keys"][0].as_object().unwrap();
            for private in ["d", "p", "q", "dp", "dq", "qi", "latchkey_phase"] {
                assert!(!members.contains_key(private), "{algorithm:?} shows {private}");
            }
        }
    }

    #[test]
    fn two_active_keys_are_refused() {
        let keys = (0..2).map(|_| generate(Algorithm::EdDsa, Phase::Active).unwrap()).collect();
        assert_eq!(PrivateKeySet::new(keys), Err(KeySetError::ActiveKeys(2)));
    }
}

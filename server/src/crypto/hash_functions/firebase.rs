//! Firebase's scrypt: its output is the key that encrypts the project's signer key, and the ciphertext is the hash.
//!
//! AES-CTR (NIST SP 800-38A §6.5) XORs the signer key with a key stream. Latchkey stores the key stream (the hash XOR the
//! signer key), so that the signer key is needed only for the import.

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::scrypt_cost::scrypt_params;
use super::text::{base64, numbers, to_padded_base64};
use crate::crypto::hash_refusal::HashRefusal;

const MAX_SALT: usize = 128;
const KEY_BYTES: std::ops::RangeInclusive<usize> = 32..=128;

#[derive(Clone, PartialEq)]
pub(in crate::crypto) struct FirebaseScrypt {
    pub(in crate::crypto) params: scrypt::Params,
    salt: Vec<u8>,
    key_stream: Vec<u8>,
}

impl FirebaseScrypt {
    /// Parses the text after `$firescrypt$`: Ory Kratos's `ln=…,r=…,p=…$salt$hash$separator$signer key`, or Latchkey's
    /// `ln=…,r=…,p=…$salt$key stream`.
    pub(in crate::crypto) fn parse(parts: &[&str]) -> Result<Self, HashRefusal> {
        let malformed = HashRefusal::Malformed("Firebase scrypt");
        let read = |text: &str| base64(text).ok_or(malformed);
        let (params, salt, key_stream) = match *parts {
            [params, salt, stream] => (params, read(salt)?, read(stream)?),
            [params, salt, hash, separator, key] => {
                let (mut hash, key) = (read(hash)?, read(key)?);
                if hash.len() != key.len() {
                    return Err(malformed);
                }
                hash.iter_mut().zip(&key).for_each(|(byte, key)| *byte ^= key);
                (params, [read(salt)?, read(separator)?].concat(), hash)
            }
            _ => return Err(malformed),
        };
        if salt.is_empty() || salt.len() > MAX_SALT || !KEY_BYTES.contains(&key_stream.len()) {
            return Err(HashRefusal::Length);
        }
        let params = scrypt_params(numbers(params, ["ln", "r", "p"], "Firebase scrypt")?)?;
        Ok(Self { params, salt, key_stream })
    }

    /// Parses Supabase's form of the same, the text after `$fbscrypt$`: `v=1,n=…,r=…,p=…,ss=SEPARATOR,sk=SIGNER KEY`, the
    /// salt and the hash.
    pub(in crate::crypto) fn parse_supabase(
        params: &str,
        salt: &str,
        hash: &str,
    ) -> Result<Self, HashRefusal> {
        let value = |name| {
            let mut pairs = params.split(',').filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(known, _)| *known == name).map(|(_, value)| value);
            found.ok_or(HashRefusal::Malformed("Firebase scrypt"))
        };
        let costs = format!("ln={},r={},p={}", value("n")?, value("r")?, value("p")?);
        Self::parse(&[&costs, salt, hash, value("ss")?, value("sk")?])
    }

    /// The stored form.
    pub(in crate::crypto) fn describe(&self) -> String {
        let scrypt = self.params;
        format!(
            "$firescrypt$ln={},r={},p={}${}${}",
            scrypt.n().ilog2(),
            scrypt.r(),
            scrypt.p(),
            to_padded_base64(&self.salt),
            to_padded_base64(&self.key_stream)
        )
    }

    pub(in crate::crypto) fn verify(&self, password: &[u8]) -> bool {
        self.compute(password)
            .is_some_and(|stream| verify_slices_are_equal(&stream, &self.key_stream).is_ok())
    }

    fn compute(&self, password: &[u8]) -> Option<Vec<u8>> {
        let mut key = [0; 32];
        scrypt::scrypt(password, &self.salt, &self.params, &mut key).ok()?;
        let key = EncryptingKey::ctr(UnboundCipherKey::new(&AES_256, &key).ok()?).ok()?;
        let mut stream = vec![0; self.key_stream.len()];
        key.less_safe_encrypt(&mut stream, EncryptionContext::Iv128([0; 16].into())).ok()?;
        Some(stream)
    }
}

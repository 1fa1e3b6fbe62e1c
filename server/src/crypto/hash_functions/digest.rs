//! Digests and HMACs. MD5 and SHA-1 are used only to verify imported hashes.

use aws_lc_rs::{digest, hmac, pbkdf2};
use md5::{Digest as _, Md5};

const HMAC_BLOCK: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::crypto) enum DigestKind {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl DigestKind {
    const ALL: [(Self, &'static str, usize); 6] = [
        (Self::Md5, "md5", 16),
        (Self::Sha1, "sha1", 20),
        (Self::Sha224, "sha224", 28),
        (Self::Sha256, "sha256", 32),
        (Self::Sha384, "sha384", 48),
        (Self::Sha512, "sha512", 64),
    ];

    /// Parses names such as `sha256` and `SHA-256`.
    pub(in crate::crypto) fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase().replacen('-', "", 1);
        let name = if name == "sha" { "sha1" } else { &name };
        Self::ALL.into_iter().find(|(_, known, _)| *known == name).map(|(kind, ..)| kind)
    }

    fn entry(self) -> (&'static str, usize) {
        let found = Self::ALL.into_iter().find(|(kind, ..)| *kind == self);
        found.map_or(("", 0), |(_, name, length)| (name, length))
    }

    pub(in crate::crypto) fn name(self) -> &'static str {
        self.entry().0
    }

    /// The length of its output in bytes.
    pub(in crate::crypto) fn length(self) -> usize {
        self.entry().1
    }

    fn algorithm(self) -> Option<&'static digest::Algorithm> {
        match self {
            Self::Md5 => None,
            Self::Sha1 => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            Self::Sha224 => Some(&digest::SHA224),
            Self::Sha256 => Some(&digest::SHA256),
            Self::Sha384 => Some(&digest::SHA384),
            Self::Sha512 => Some(&digest::SHA512),
        }
    }

    /// `None` if the library has no PBKDF2 with this digest.
    pub(in crate::crypto) fn pbkdf2(self) -> Option<pbkdf2::Algorithm> {
        match self {
            Self::Md5 | Self::Sha224 => None,
            Self::Sha1 => Some(pbkdf2::PBKDF2_HMAC_SHA1),
            Self::Sha256 => Some(pbkdf2::PBKDF2_HMAC_SHA256),
            Self::Sha384 => Some(pbkdf2::PBKDF2_HMAC_SHA384),
            Self::Sha512 => Some(pbkdf2::PBKDF2_HMAC_SHA512),
        }
    }

    /// The digest of the concatenated parts.
    pub(in crate::crypto) fn hash(self, parts: &[&[u8]]) -> Vec<u8> {
        if let Some(algorithm) = self.algorithm() {
            let mut context = digest::Context::new(algorithm);
            for part in parts {
                context.update(part);
            }
            return context.finish().as_ref().to_vec();
        }
        let mut md5 = Md5::new();
        for part in parts {
            md5.update(part);
        }
        md5.finalize().to_vec()
    }

    pub(in crate::crypto) fn hmac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Md5 => return hmac_md5(key, message),
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => hmac::HMAC_SHA224,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
    }
}

/// RFC 2104 §2; the library has no HMAC-MD5.
fn hmac_md5(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = if key.len() > HMAC_BLOCK { DigestKind::Md5.hash(&[key]) } else { key.to_vec() };
    let pad = |byte: u8| -> Vec<u8> {
        (0..HMAC_BLOCK).map(|at| key.get(at).copied().unwrap_or(0) ^ byte).collect()
    };
    let inner = DigestKind::Md5.hash(&[&pad(0x36), message]);
    DigestKind::Md5.hash(&[&pad(0x5c), &inner])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash_functions::text::to_hex;

    /// RFC 1321 §A.5 and RFC 2104.
    #[test]
    fn md5_returns_the_values_of_its_rfcs() {
        let digest = to_hex(&DigestKind::Md5.hash(&[b"message ", b"digest"]));
        assert_eq!(digest, "f96b697d7cb7938d525a2f31aaf161d0");
        let short = to_hex(&DigestKind::Md5.hmac(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(short, "750c783e6ab0b503eaa86e310a5db738");
        // RFC 2202 §2, test case 6.
        let message = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(to_hex(&DigestKind::Md5.hmac(&[0xaa; 80], message)), "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
        // A key of one block is not hashed; the value is that of Python's hmac.
        assert_eq!(to_hex(&DigestKind::Md5.hmac(&[0xaa; 64], message)), "cfa7cadd3e5538d2567116f061e0c424");
    }

    #[test]
    fn each_digest_has_its_length_and_name() {
        for (kind, name, length) in DigestKind::ALL {
            assert_eq!(kind.hash(&[b"x"]).len(), length);
            assert_eq!(kind.hmac(b"k", b"x").len(), length);
            assert_eq!((DigestKind::of(name), kind.name(), kind.length()), (Some(kind), name, length));
        }
        assert_eq!(DigestKind::of("SHA-512"), Some(DigestKind::Sha512));
        assert_eq!(DigestKind::of("sha3"), None);
    }
}

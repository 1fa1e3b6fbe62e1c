//! Short names for content.

use aws_lc_rs::digest::{Context, Digest, SHA256};
use aws_lc_rs::hmac;
use latchkey_clients::SecretDigest;
use latchkey_config::SecretText;

/// The first half of a SHA-256, for comparisons only.
pub(crate) type Fingerprint = [u8; 16];

/// The SHA-256 of the parts, each prefixed with its length, so that different lists never collide by concatenation.
fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish()
}

/// The SHA-256 of parts in hexadecimal digits.
pub(crate) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    hex::encode(digest(parts))
}

/// The SHA-256 of a client secret.
pub(crate) fn secret_digest(secret: &SecretText) -> SecretDigest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(aws_lc_rs::digest::digest(&SHA256, secret.expose().as_bytes()).as_ref());
    SecretDigest::new(bytes)
}

/// The HMAC-SHA-256 of content that is secret, in hexadecimal digits: only who knows the key can compare guesses with it.
pub(crate) fn keyed_fingerprint(key: &SecretText, content: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
    hex::encode(hmac::sign(&key, content))
}

/// The fingerprint of a text, in its compact form.
pub(crate) fn short_fingerprint(text: &[u8]) -> Fingerprint {
    let mut short = Fingerprint::default();
    short.iter_mut().zip(digest([text]).as_ref()).for_each(|(short, byte)| *short = *byte);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundaries_between_parts_matter() {
        assert_ne!(fingerprint([b"ab".as_slice(), b"c"]), fingerprint([b"a".as_slice(), b"bc"]));
    }
}

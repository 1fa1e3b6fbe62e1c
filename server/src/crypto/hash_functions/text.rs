//! The encodings of hash strings.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::crypto::hash_refusal::HashRefusal;

/// Accepts padding or none, and the trailing bits that some encoders set.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const B64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BCRYPT_B64: GeneralPurpose = GeneralPurpose::new(&alphabet::BCRYPT, LENIENT);

/// The alphabet of crypt(3) and phpass.
const CRYPT64: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Base64, padded or not.
pub(in crate::crypto) fn base64(text: &str) -> Option<Vec<u8>> {
    B64.decode(text).ok()
}

/// Base64 with passlib's alphabet, which has `.` instead of `+`.
pub(in crate::crypto) fn base64_passlib(text: &str) -> Option<Vec<u8>> {
    base64(&text.replace('.', "+"))
}

/// Base64 with bcrypt's alphabet.
pub(in crate::crypto) fn base64_bcrypt(text: &str) -> Option<Vec<u8>> {
    BCRYPT_B64.decode(text).ok()
}

/// Standard base64 without padding.
pub(in crate::crypto) fn to_base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)
}

/// Standard base64 with padding.
pub(in crate::crypto) fn to_padded_base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(in crate::crypto) fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

pub(in crate::crypto) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The value of a character in crypt(3)'s alphabet.
pub(in crate::crypto) fn crypt64_value(character: u8) -> Option<u32> {
    CRYPT64.iter().position(|known| *known == character).and_then(|at| u32::try_from(at).ok())
}

/// Bytes in crypt(3)'s base64: the least significant six bits of each three bytes come first. Bits that do not fill a
/// byte are dropped.
pub(in crate::crypto) fn crypt64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut held, mut bits) = (0, 0);
    for character in text.bytes() {
        held |= crypt64_value(character)? << bits;
        bits += 6;
        if bits >= 8 {
            bytes.push(u8::try_from(held & 0xff).ok()?);
            held >>= 8;
            bits -= 8;
        }
    }
    Some(bytes)
}

/// Appends `length` characters of a 24-bit number.
pub(in crate::crypto) fn push_crypt64(text: &mut String, [high, middle, low]: [u8; 3], length: usize) {
    let mut value = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    for _ in 0..length {
        text.push(char::from(CRYPT64[value & 0x3f]));
        value >>= 6;
    }
}

/// A decimal number without a sign.
pub(in crate::crypto) fn number(text: &str, scheme: &'static str) -> Result<u32, HashRefusal> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(number),
        // The number is too large for the type.
        Err(_) if digits => Err(HashRefusal::TooCostly),
        _ => Err(HashRefusal::Malformed(scheme)),
    }
}

/// `a=1,b=2` with exactly these names, in any order.
pub(in crate::crypto) fn numbers<const N: usize>(
    params: &str,
    names: [&str; N],
    scheme: &'static str,
) -> Result<[u32; N], HashRefusal> {
    let malformed = HashRefusal::Malformed(scheme);
    let mut found = [None; N];
    for pair in params.split(',') {
        let (name, value) = pair.split_once('=').ok_or(malformed)?;
        let place = names.iter().position(|known| *known == name).ok_or(malformed)?;
        if found[place].replace(number(value, scheme)?).is_some() {
            return Err(malformed);
        }
    }
    let mut values = [0; N];
    for (value, found) in values.iter_mut().zip(found) {
        *value = found.ok_or(malformed)?;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hexadecimal_text_has_two_digits_for_each_byte() {
        assert_eq!(hex("0aF9"), Some(vec![0x0a, 0xf9]));
        for text in ["0", "0aF", "+a", "0x", "0ä"] {
            assert_eq!(hex(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn decoding_reverses_encoding(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(hex(&to_hex(&bytes)), Some(bytes.clone()));
            prop_assert_eq!(base64(&to_base64(&bytes)), Some(bytes.clone()));
            prop_assert_eq!(base64(&to_padded_base64(&bytes)), Some(bytes.clone()));
            let mut text = String::new();
            for group in bytes.chunks(3) {
                let at = |place: usize| group.get(place).copied().unwrap_or(0);
                push_crypt64(&mut text, [at(2), at(1), at(0)], group.len() + 1);
            }
            prop_assert_eq!(crypt64(&text), Some(bytes));
        }
    }
}

//! The numbers of an RSA private key out of its PKCS#8 form, as far as DER has to be read for that.

/// n, e, d, p, q, dP, dQ and qInv, big-endian without leading zeros, out of a PKCS#8 `PrivateKeyInfo` (RFC 5208
/// §5) that holds an `RSAPrivateKey` (RFC 8017 §A.1.2). `None` when it is something else.
pub fn numbers(pkcs8: &[u8]) -> Option<[&[u8]; 8]> {
    let (info, _) = element(pkcs8, SEQUENCE)?;
    let (_version, rest) = element(info, INTEGER)?;
    let (_algorithm, rest) = element(rest, SEQUENCE)?;
    let (key, _) = element(rest, OCTET_STRING)?;
    let (key, _) = element(key, SEQUENCE)?;
    let (_version, mut rest) = element(key, INTEGER)?;
    let mut numbers: [&[u8]; 8] = [&[]; 8];
    for number in &mut numbers {
        let (bytes, after) = element(rest, INTEGER)?;
        // DER puts a zero before a number whose first bit is set; JWK has none (RFC 7518 §2).
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        *number = &bytes[zeros..];
        rest = after;
    }
    Some(numbers)
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// The content of the first element, which must have that tag, and what follows it (X.690 §8.1).
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(b, _)| b.len() <= 4)?;
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_at_all_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = numbers(&bytes);
        }
    }
}

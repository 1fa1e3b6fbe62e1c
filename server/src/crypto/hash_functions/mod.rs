//! Password hash functions of other systems that are not in the libraries, and the encodings of hash strings.

pub(super) mod crypt;
pub(super) mod digest;
pub(super) mod fast;
pub(super) mod firebase;
pub(super) mod phpass;
mod scrypt_cost;
pub(super) mod text;

pub(super) use crypt::ShaCrypt;
pub(super) use digest::DigestKind;
pub(super) use fast::{FastDigest, FastHash};
pub(super) use firebase::FirebaseScrypt;
pub(super) use phpass::Phpass;
pub(super) use scrypt_cost::{MAX_KIB, MAX_KIB_PASSES, scrypt_kib, scrypt_params};
pub(super) use text::{to_hex, to_padded_base64};

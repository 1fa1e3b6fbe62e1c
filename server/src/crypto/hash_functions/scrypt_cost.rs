//! The limits of argon2's and scrypt's parameters.

use crate::crypto::hash_refusal::HashRefusal;

/// The maximum memory of one hash in KiB: 128 MiB. Django's argon2 takes 100 MiB, scrypt with OWASP's parameters 128
/// MiB.
pub(in crate::crypto) const MAX_KIB: u64 = 128 * 1024;
/// The maximum of memory times passes, which takes about a second.
pub(in crate::crypto) const MAX_KIB_PASSES: u64 = 1024 * 1024;
/// The maximum of scrypt's `p`, to which the time is proportional.
const MAX_P: u32 = 16;

pub(in crate::crypto) fn scrypt_params([log_n, r, p]: [u32; 3]) -> Result<scrypt::Params, HashRefusal> {
    let malformed = HashRefusal::Malformed("scrypt");
    // Checked before the multiplication, which could overflow.
    if log_n > 24 || r > 64 || p > MAX_P {
        return Err(HashRefusal::TooCostly);
    }
    let log_n = u8::try_from(log_n).map_err(|_| malformed)?;
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| malformed)?;
    let kib = scrypt_kib(params);
    if kib > MAX_KIB || kib * u64::from(p) > MAX_KIB_PASSES {
        return Err(HashRefusal::TooCostly);
    }
    Ok(params)
}

pub(in crate::crypto) fn scrypt_kib(params: scrypt::Params) -> u64 {
    params.n().saturating_mul(u64::from(params.r())) / 8
}

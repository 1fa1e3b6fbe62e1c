//! The verifier that PostgreSQL stores for a password.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

/// A SCRAM-SHA-256 verifier (RFC 5803) with one iteration instead of 4,096: each server of a test opens many connections,
/// and without optimisation the iterations of the client take longer than everything else that opens a connection.
pub(super) fn scram_verifier(password: &str) -> String {
    let mac = |key: &[u8], text: &[u8]| sign(&Key::new(HMAC_SHA256, key), text);
    let salt = Uuid::new_v4();
    // RFC 5802 §2.2: the salt, and the number of the block.
    let salted = mac(password.as_bytes(), &[salt.as_bytes().as_slice(), &[0, 0, 0, 1]].concat());
    let client_key = mac(salted.as_ref(), b"Client Key");
    let stored_key = digest(&SHA256, client_key.as_ref());
    let server_key = mac(salted.as_ref(), b"Server Key");
    let [salt, stored_key, server_key] =
        [salt.as_bytes().as_slice(), stored_key.as_ref(), server_key.as_ref()]
            .map(|bytes| STANDARD.encode(bytes));
    format!("SCRAM-SHA-256$1:{salt}${stored_key}:{server_key}")
}

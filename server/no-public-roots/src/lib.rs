//! Replaces the crate `webpki-roots` in this workspace (`[patch.crates-io]`).
//!
//! sqlx trusts the public certificate authorities of that crate in addition to those of `sslrootcert`, and has no option
//! to disable this. Whoever has a certificate of a public authority for the host name of the database could impersonate
//! it. With this crate sqlx only trusts the authorities that the server passes to it.

use rustls_pki_types::TrustAnchor;

/// No certificate authority.
pub const TLS_SERVER_ROOTS: &[TrustAnchor<'static>] = &[];

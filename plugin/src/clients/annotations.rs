//! The annotations of an AuthClient that request something of the operator.

/// The annotation that requests a new secret, without its prefix.
pub(super) const ROTATE: &str = "rotate-secret";
/// The annotation that revokes the previous secrets, without its prefix.
pub(super) const REVOKE_PREVIOUS: &str = "revoke-previous-secret";

//! Why a string is not accepted as a password hash.

/// `Display` completes "password_hash …" and never contains the string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashRefusal {
    #[error("is not a password hash in a supported format")]
    UnknownFormat,
    #[error("is malformed: it has the prefix of a {0} hash but cannot be parsed as one")]
    Malformed(&'static str),
    /// The hash or the salt is too short to protect the password, or too long.
    #[error("has a hash or a salt of a length that is not allowed")]
    Length,
    #[error(
        "is too expensive to verify: the limits are 128 MiB, bcrypt cost 14, 4000000 iterations of PBKDF2, and about a second"
    )]
    TooCostly,
    /// The password was never hashed.
    #[error("is a password in clear text; omit it, and the owner sets a new one by e-mail")]
    ClearText,
}

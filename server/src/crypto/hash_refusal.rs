//! Why a string is not accepted as a password hash.

/// Why a string is not taken for a hash. `Display` completes "password_hash …" and never repeats the string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashRefusal {
    /// None of the forms that are known.
    #[error("is not a password hash in a form that is known")]
    UnknownForm,
    /// A known form, not well written.
    #[error("is damaged: it begins like a {0} hash but cannot be read as one")]
    Damaged(&'static str),
    /// A hash or a salt too short to protect anything, or longer than any.
    #[error("has a hash or a salt of a length that is not allowed")]
    Length,
    /// It would occupy the server.
    #[error(
        "would cost too much at every login: at most 128 MiB, bcrypt cost 14, 4000000 iterations of PBKDF2, or about a second"
    )]
    TooCostly,
    /// A password that was never hashed.
    #[error("is a password in clear text; leave it out, so that the owner sets a new one by e-mail")]
    ClearText,
}

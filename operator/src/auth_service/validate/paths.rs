//! The paths of mounted files in the server's pods.

/// The key set's folder.
pub(crate) const KEYS: &str = "/etc/latchkey/keys";
/// The database URL's folder.
pub(crate) const DATABASE: &str = "/etc/latchkey/database";
/// The Redis URL's folder.
pub(crate) const REDIS: &str = "/etc/latchkey/redis";
/// The SMTP login's folder.
pub(crate) const SMTP: &str = "/etc/latchkey/smtp";
/// The bootstrap administrator's folder.
pub(crate) const BOOTSTRAP_ADMIN: &str = "/etc/latchkey/admin";
/// The folder of custom templates.
pub(crate) const TEMPLATES: &str = "/etc/latchkey/mail";
/// The folder of the client secret for token introspection.
pub(crate) const INTROSPECTION: &str = "/etc/latchkey/introspection";
/// The folder of the certificate authorities.
pub(crate) const TRUSTED_CAS: &str = "/etc/latchkey/trusted-cas";
pub(crate) const CA_FILE: &str = "ca.crt";

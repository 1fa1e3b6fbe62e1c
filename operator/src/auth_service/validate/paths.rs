//! The paths of mounted files in the server's pods.

/// The key set's folder.
pub const KEYS: &str = "/etc/latchkey/keys";
/// The database URL's folder.
pub const DATABASE: &str = "/etc/latchkey/database";
/// The Redis URL's folder.
pub const REDIS: &str = "/etc/latchkey/redis";
/// The SMTP login's folder.
pub const SMTP: &str = "/etc/latchkey/smtp";
/// The bootstrap administrator's folder.
pub const BOOTSTRAP_ADMIN: &str = "/etc/latchkey/admin";
/// The folder of custom templates.
pub const TEMPLATES: &str = "/etc/latchkey/mail";
/// The folder of the client secret for token introspection.
pub const INTROSPECTION: &str = "/etc/latchkey/introspection";
/// The folder of the certificate authorities.
pub const TRUSTED_CAS: &str = "/etc/latchkey/trusted-cas";
/// The file in it.
pub const CA_FILE: &str = "ca.crt";

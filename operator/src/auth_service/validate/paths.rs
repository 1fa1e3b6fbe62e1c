//! The paths of mounted files in the server's pods.

/// The key set's folder.
pub(crate) const KEYS: &str = "/etc/latchkey/keys";
/// The client registry's folder.
pub(crate) const CLIENTS: &str = "/etc/latchkey/clients";
/// The database URL's folder.
pub(crate) const DATABASE: &str = "/etc/latchkey/database";
/// The folder of the client certificate for the database.
pub(crate) const DATABASE_CLIENT: &str = "/etc/latchkey/database-client";
/// The Redis URL's folder.
pub(crate) const REDIS: &str = "/etc/latchkey/redis";
/// The folder of the client certificate for Redis.
pub(crate) const REDIS_CLIENT: &str = "/etc/latchkey/redis-client";
/// The folder of the certificate of the API port.
pub(crate) const TLS: &str = "/etc/latchkey/tls";
/// The file of a client certificate.
pub(crate) const CERTIFICATE_FILE: &str = "tls.crt";
/// The file of its private key.
pub(crate) const PRIVATE_KEY_FILE: &str = "tls.key";
/// The SMTP login's folder.
pub(crate) const SMTP: &str = "/etc/latchkey/smtp";
/// The bootstrap administrator's folder.
pub(crate) const BOOTSTRAP_ADMIN: &str = "/etc/latchkey/admin";
/// The folder of custom templates.
pub(crate) const TEMPLATES: &str = "/etc/latchkey/mail";
/// The folder of the client secret for token introspection.
pub(crate) const INTROSPECTION: &str = "/etc/latchkey/introspection";
/// The folder of the pepper of imported passwords.
pub(crate) const PEPPER: &str = "/etc/latchkey/pepper";
/// The folder of the certificate authorities.
pub(crate) const TRUSTED_CAS: &str = "/etc/latchkey/trusted-cas";
pub(crate) const CA_FILE: &str = "ca.crt";
/// The folder with what the server needs for requests to the API server: the default of its settings.
pub(crate) const KUBERNETES: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

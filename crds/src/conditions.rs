//! The condition types of an `AuthService`, by name. `docs/reference/conditions.md` lists the reasons of each.

/// Serving as specified: every replica of the current generation is ready.
pub const READY: &str = "Ready";
/// A change is being rolled out.
pub const PROGRESSING: &str = "Progressing";
/// Every referenced Secret exists and holds the keys that are named.
pub const SECRETS_RESOLVED: &str = "SecretsResolved";
/// The replicas reach PostgreSQL.
pub const DATABASE_REACHABLE: &str = "DatabaseReachable";
/// The schema fits the server image.
pub const SCHEMA_MIGRATED: &str = "SchemaMigrated";
/// The signing keys exist and the replicas have loaded them.
pub const KEYS_READY: &str = "KeysReady";
/// The replicas use Redis for revocation, not the slower fallback.
pub const REVOCATION_STORE_READY: &str = "RevocationStoreReady";
/// Mail can be sent.
pub const MAIL_READY: &str = "MailReady";
/// A login that the replicas try out works.
pub const LOGIN_WORKS: &str = "LoginWorks";
/// The external database is named by another AuthService too.
pub const DATABASE_SHARED: &str = "DatabaseShared";
/// The operator runs PostgreSQL or Redis for this service: one instance without backups.
pub const EMBEDDED_STORES: &str = "EmbeddedStores";
/// A ServiceMonitor tells Prometheus where to scrape.
pub const MONITORING_CONFIGURED: &str = "MonitoringConfigured";

/// The API is reached from outside of the cluster, as spec.exposure says.
pub const EXPOSED: &str = "Exposed";
/// The certificate that the API is exposed with is good, and for this host.
pub const CERTIFICATE_VALID: &str = "CertificateValid";
/// The load decides how many replicas there are, as spec.autoscaling says.
pub const AUTOSCALING_ACTIVE: &str = "AutoscalingActive";
/// Reconciling is paused by spec.paused.
pub const PAUSED: &str = "Paused";
/// Something is on its way to what the spec says; for tools that judge by kstatus.
pub const RECONCILING: &str = "Reconciling";
/// Nothing goes on until somebody acts; for tools that judge by kstatus.
pub const STALLED: &str = "Stalled";

/// All of them, in the order in which the status lists them.
pub const ALL: [&str; 18] = [
    READY,
    PROGRESSING,
    SECRETS_RESOLVED,
    DATABASE_REACHABLE,
    SCHEMA_MIGRATED,
    KEYS_READY,
    REVOCATION_STORE_READY,
    MAIL_READY,
    MONITORING_CONFIGURED,
    LOGIN_WORKS,
    DATABASE_SHARED,
    EMBEDDED_STORES,
    EXPOSED,
    CERTIFICATE_VALID,
    AUTOSCALING_ACTIVE,
    PAUSED,
    RECONCILING,
    STALLED,
];

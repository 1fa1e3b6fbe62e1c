//! The condition types of an `AuthService` and of an `AuthClient`, by name. `docs/reference/conditions.md` and
//! `docs/reference/authclient.md` list the reasons of each.

/// Every replica of the current generation is ready.
pub const READY: &str = "Ready";
/// A change is being rolled out.
pub const PROGRESSING: &str = "Progressing";
/// Every referenced Secret exists and contains the referenced keys.
pub const SECRETS_RESOLVED: &str = "SecretsResolved";
/// The replicas reach PostgreSQL.
pub const DATABASE_REACHABLE: &str = "DatabaseReachable";
/// The database schema is migrated to the version of the server image.
pub const SCHEMA_MIGRATED: &str = "SchemaMigrated";
/// The signing keys exist and the replicas have loaded them.
pub const KEYS_READY: &str = "KeysReady";
/// The replicas look up revocations in Redis, not in the slower fallback.
pub const REVOCATION_STORE_READY: &str = "RevocationStoreReady";
/// The server can send e-mails.
pub const MAIL_READY: &str = "MailReady";
/// The login probe succeeds.
pub const LOGIN_WORKS: &str = "LoginWorks";
/// Another AuthService uses the same external database.
pub const DATABASE_SHARED: &str = "DatabaseShared";
/// The operator runs PostgreSQL or Redis for this service: one instance without backups.
pub const EMBEDDED_STORES: &str = "EmbeddedStores";
/// The server can ask the API server about the tokens of workloads.
pub const WORKLOAD_IDENTITY_READY: &str = "WorkloadIdentityReady";
/// A ServiceMonitor for Prometheus exists.
pub const MONITORING_CONFIGURED: &str = "MonitoringConfigured";

/// The API is exposed outside the cluster as spec.exposure describes.
pub const EXPOSED: &str = "Exposed";
/// The TLS certificate of the exposed API is valid for its host.
pub const CERTIFICATE_VALID: &str = "CertificateValid";
/// The autoscaler of spec.autoscaling sets the number of replicas.
pub const AUTOSCALING_ACTIVE: &str = "AutoscalingActive";
/// spec.paused is set.
pub const PAUSED: &str = "Paused";
/// kstatus: the operator is working towards the spec.
pub const RECONCILING: &str = "Reconciling";
/// kstatus: the operator cannot continue until a user acts.
pub const STALLED: &str = "Stalled";

/// All condition types, in the order of the status.
pub const ALL: [&str; 19] = [
    READY,
    PROGRESSING,
    SECRETS_RESOLVED,
    DATABASE_REACHABLE,
    SCHEMA_MIGRATED,
    KEYS_READY,
    REVOCATION_STORE_READY,
    MAIL_READY,
    WORKLOAD_IDENTITY_READY,
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

/// Of an AuthClient: its AuthService admits it.
pub const ACCEPTED: &str = "Accepted";
/// Of an AuthClient: its client secret exists.
pub const SECRET_READY: &str = "SecretReady";
/// Of an AuthClient: every replica of its AuthService has loaded it.
pub const REGISTERED: &str = "Registered";

/// The condition types of an AuthClient, in the order of the status.
pub const OF_CLIENTS: [&str; 4] = [READY, ACCEPTED, SECRET_READY, REGISTERED];

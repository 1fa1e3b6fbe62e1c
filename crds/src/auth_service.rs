//! `AuthService`: an auth server that the operator keeps running.

mod accounts;
mod autoscaling;
mod canary;
mod email;
mod exposure;
mod image;
mod network_policy;
mod observability;
mod password_policy;
mod pod;
mod status;
mod stores;
mod tokens;
mod trusted_cas;

pub use accounts::{Accounts, Audit, ClientSecretRef, IntrospectionClient, RateLimits, Registration};
pub use autoscaling::Autoscaling;
pub use canary::Canary;
pub use email::{BootstrapAdmin, ConfigMapName, Email, From, Smtp, SmtpCredentialsRef, SmtpSecurity};
pub use exposure::{
    Certificate, Exposure, GatewayExposure, IngressExposure, IngressTls, IssuerRef, ParentRef,
};
pub use image::{Image, PullPolicy};
pub use network_policy::{NetworkPolicy, Peer};
pub use observability::{LogFormat, LogLevel, Logging, Monitoring, ServiceMonitor, Tracing};
pub use password_policy::PasswordPolicy;
pub use pod::Pod;
pub use status::{AuthServiceStatus, KeyPhase, SchemaRange, SigningKeyStatus};
pub use stores::{Database, EmbeddedPostgres, EmbeddedRedis, Reclaim, Redis, SecretKeyRef, SecretName};
pub use tokens::{Algorithm, KeyRotation, Tokens, TtlError, parse_seconds, parse_ttl};
pub use trusted_cas::{CaKeyRef, TrustedCa};

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Leaves a section out of the YAML when nothing in it was set.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What the auth service should be. `spec: {}` is valid: one replica with a PostgreSQL and a Redis of its own,
/// to try it out.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[kube(
    group = "latchkey.dev",
    version = "v1alpha1",
    kind = "AuthService",
    plural = "authservices",
    shortname = "authsvc",
    category = "latchkey",
    namespaced,
    status = "AuthServiceStatus",
    derive = "PartialEq",
    doc = "An authentication service: a REST server for logins, tokens and accounts, with its signing keys, \
           settings, database schema and monitors, kept running by the Latchkey operator.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether it serves as specified.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        description = "Replicas that are ready.",
        json_path = ".status.readyReplicas"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        description = "Version of the server that runs.",
        json_path = ".status.version"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        description = "Why it is ready or not.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Schema",
        type_ = "integer",
        description = "Version of the database schema.",
        json_path = ".status.schemaVersion",
        priority = 1
    ),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        description = "Address of the API inside the cluster.",
        json_path = ".status.endpoint",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$')")
        .message("metadata.name must start with a letter, hold only lower-case letters, digits and '-', and have at most 40 characters: it becomes the name of a Service")
)]
#[x_kube(
    validation = Rule::new("!has(self.autoscaling) || self.replicas <= 1")
        .message("spec.replicas and spec.autoscaling exclude each other: leave spec.replicas out (0 stops serving), or remove spec.autoscaling"),
    validation = Rule::new("!has(self.autoscaling) || !has(self.pod) || !has(self.pod.resources) || (has(self.pod.resources.requests) && 'cpu' in self.pod.resources.requests) || (has(self.pod.resources.limits) && 'cpu' in self.pod.resources.limits)")
        .message("spec.autoscaling needs spec.pod.resources.requests.cpu: load is measured in percent of it"),
    validation = Rule::new("!has(self.exposure) || has(self.issuer)")
        .message("spec.exposure needs spec.issuer: set the address under which people reach the service, such as https://auth.example.com"),
    validation = Rule::new("!has(self.exposure) || !has(self.networkPolicy) || !self.networkPolicy.enabled || has(self.networkPolicy.allowFrom)")
        .message("spec.exposure with spec.networkPolicy.enabled needs spec.networkPolicy.allowFrom: name the namespace of the ingress controller or gateway there"),
    validation = Rule::new("!(has(self.registration) && self.registration.enabled) || (has(self.email) && self.email.enabled)")
        .message("spec.registration.enabled needs spec.email.enabled: addresses are verified by mail"),
    validation = Rule::new(STORAGE_IS_KEPT)
        .message("spec.database.embedded.storage cannot be changed, since the volume exists already: move to an external database with spec.database.urlSecretRef instead")
)]
#[serde(rename_all = "camelCase")]
pub struct AuthServiceSpec {
    /// Whether the operator leaves everything as it is, until this is false again. What runs goes on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub paused: bool,
    /// How many server replicas run. 0 stops serving and keeps everything else. With spec.autoscaling the load
    /// decides instead, and this can only be left out or 0.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,
    /// Adds and takes away replicas by load, in place of spec.replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// The server's container image. Unset fields are those of the operator's own release.
    #[serde(default, skip_serializing_if = "is_default")]
    pub image: Image,
    /// The `iss` of every token, and the address under which applications find the service: an http or https
    /// URL without query and fragment. Default: http://NAME.NAMESPACE.svc, which works inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^/?#@\\\\s]+(/[^?#\\\\s]*)?$') && isURL(self)")
        .message("spec.issuer must be an http or https URL without user, query and fragment, such as https://auth.example.com"))]
    pub issuer: Option<String>,
    /// Where accounts and sessions are kept: `urlSecretRef` for a PostgreSQL of yours, or `embedded` (the
    /// default) for a small one that the operator runs, to try things out.
    #[serde(default, skip_serializing_if = "is_default")]
    #[x_kube(validation = Rule::new("!(has(self.urlSecretRef) && has(self.embedded))")
        .message("spec.database: set urlSecretRef or embedded, not both"))]
    pub database: Database,
    /// Where revocations are looked up fast: `urlSecretRef` for a Redis or Valkey of yours (one that evicts
    /// nothing), or `embedded` (the default) for a small one that the operator runs.
    #[serde(default, skip_serializing_if = "is_default")]
    #[x_kube(validation = Rule::new("!(has(self.urlSecretRef) && has(self.embedded))")
        .message("spec.redis: set urlSecretRef or embedded, not both"))]
    pub redis: Redis,
    /// Certificate authorities of yours that the database, Redis and the SMTP server may have their certificates from,
    /// beside the public ones. With any of these a database URL without `sslmode` means `sslmode=verify-full`; one of a
    /// database without TLS has to say `sslmode=disable`.
    #[serde(rename = "trustedCAs", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub trusted_cas: Vec<TrustedCa>,
    /// How tokens are signed and how long they live.
    #[serde(default)]
    pub tokens: Tokens,
    /// Mail: for password recovery, verified addresses and invitations.
    #[serde(default, skip_serializing_if = "is_default")]
    pub email: Email,
    /// The first superuser, made when the service has none. Without it nobody can create accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_admin: Option<BootstrapAdmin>,
    /// Whether and how people make accounts for themselves.
    #[serde(default, skip_serializing_if = "is_default")]
    pub registration: Registration,
    /// What accounts may do.
    #[serde(default, skip_serializing_if = "is_default")]
    pub accounts: Accounts,
    /// Which new passwords are good enough.
    #[serde(default, skip_serializing_if = "is_default")]
    pub password_policy: PasswordPolicy,
    /// The audit of who did what.
    #[serde(default, skip_serializing_if = "is_default")]
    pub audit: Audit,
    /// The login that each replica tries out by itself, on which `Ready` rests.
    #[serde(default, skip_serializing_if = "is_default")]
    pub canary: Canary,
    /// How fast an attacker may guess.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rate_limits: RateLimits,
    /// The networks of proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8; limits and the audit go by the
    /// address that they name. Empty: every caller is taken for itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 2, max = 49)))]
    #[x_kube(validation = Rule::new("self.all(network, isCIDR(network) || isIP(network))")
        .message("spec.trustedProxies must hold networks such as 10.0.0.0/8, or addresses"))]
    pub trusted_proxies: Vec<String>,
    /// The origins (scheme, host and port) whose pages may call the API from a browser. Empty: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 8, max = 300)))]
    #[x_kube(validation = Rule::new("self.all(origin, origin.matches('^https?://[^/?#@,\\\\s]+$') && isURL(origin))")
        .message("spec.corsAllowedOrigins must hold origins such as https://app.example.com: scheme, host and port, nothing else"))]
    pub cors_allowed_origins: Vec<String>,
    /// What programs authenticate with to introspect and revoke tokens, beside a superuser's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection_client: Option<IntrospectionClient>,
    /// How the API is reached from outside of the cluster. Unset: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// Who may talk to the pods, and whom they may talk to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub network_policy: NetworkPolicy,
    /// What Prometheus is told of the service.
    #[serde(default, skip_serializing_if = "is_default")]
    pub monitoring: Monitoring,
    /// The server's log, on its standard error.
    #[serde(default, skip_serializing_if = "is_default")]
    pub logging: Logging,
    /// OpenTelemetry traces.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tracing: Tracing,
    /// How the server's pods are scheduled, sized and labelled.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pod: Pod,
}

/// A StatefulSet's volume claims cannot be changed. Applies while the database stays embedded.
const STORAGE_IS_KEPT: &str = "\
    (has(oldSelf.database) && has(oldSelf.database.urlSecretRef)) || \
    (has(self.database) && has(self.database.urlSecretRef)) || \
    (has(self.database) && has(self.database.embedded) && has(self.database.embedded.storage) \
        ? self.database.embedded.storage : '') == \
    (has(oldSelf.database) && has(oldSelf.database.embedded) && has(oldSelf.database.embedded.storage) \
        ? oldSelf.database.embedded.storage : '')";

fn default_replicas() -> i32 {
    1
}

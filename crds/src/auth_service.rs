//! `AuthService`: the resource that describes an auth server.

mod accounts;
mod autoscaling;
mod clients;
mod email;
mod exposure;
mod image;
mod login_probe;
mod migration;
mod network_policy;
mod observability;
mod password_policy;
mod pod;
mod pod_template;
mod rollout;
mod route;
mod status;
mod stores;
mod tls;
mod tokens;
mod trusted_cas;
mod workload_identity;

pub use accounts::{
    Accounts, Audit, ClientSecretRef, IntrospectionClient, PepperSecretRef, RateLimits, Registration,
};
pub use autoscaling::Autoscaling;
pub use clients::{AllowedNamespaces, ClientMaximum, Clients, NamespacesFrom};
pub use email::{BootstrapAdmin, ConfigMapName, Email, From, Smtp, SmtpCredentialsRef, SmtpSecurity};
pub use exposure::{
    Certificate, Exposure, GatewayExposure, IngressExposure, IngressTls, IssuerRef, ParentRef,
};
pub use image::{Image, PullPolicy};
pub use login_probe::LoginProbe;
pub use migration::Migration;
pub use network_policy::{NetworkPolicy, Peer};
pub use observability::{LogFormat, LogLevel, Logging, Monitoring, ServiceMonitor, Tracing};
pub use password_policy::PasswordPolicy;
pub use pod::Pod;
pub use pod_template::{PodTemplate, ServiceAccount};
pub use rollout::Rollout;
pub use route::{RouteExposure, RouteTermination, RouteTls};
pub use status::{AuthServiceStatus, KeyPhase, SchemaRange, SigningKeyStatus};
pub use stores::{
    ClientCertificateRef, Database, EmbeddedPostgres, EmbeddedRedis, Reclaim, Redis, SecretKeyRef, SecretName,
};
pub use tls::Tls;
pub use tokens::{Algorithm, KeyReclaim, KeyRotation, Tokens, TtlError, parse_seconds, parse_ttl};
pub use trusted_cas::{CaKeyRef, TrustedCa};
pub use workload_identity::WorkloadIdentity;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Omits sections with default values from the YAML.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The desired state of the auth service. `spec: {}` is valid: it runs one replica with an embedded PostgreSQL and an
/// embedded Redis, for evaluation.
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
        description = "Whether the service is running as specified.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        description = "The number of ready replicas.",
        json_path = ".status.readyReplicas"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        description = "The version of the running server.",
        json_path = ".status.version"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        description = "The reason of the condition Ready.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Schema",
        type_ = "integer",
        description = "The version of the database schema.",
        json_path = ".status.schemaVersion",
        priority = 1
    ),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        description = "The address of the API inside the cluster.",
        json_path = ".status.endpoint",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$')")
        .message("metadata.name must start with a letter, contain only lower-case letters, digits and '-', and have at most 40 characters: it becomes the name of a Service")
)]
#[x_kube(
    validation = Rule::new("!has(self.autoscaling) || self.replicas <= 1")
        .message("spec.replicas and spec.autoscaling exclude each other: leave spec.replicas out (0 stops serving), or remove spec.autoscaling"),
    validation = Rule::new("!has(self.autoscaling) || !has(self.pod) || !has(self.pod.resources) || (has(self.pod.resources.requests) && 'cpu' in self.pod.resources.requests) || (has(self.pod.resources.limits) && 'cpu' in self.pod.resources.limits)")
        .message("spec.autoscaling needs spec.pod.resources.requests.cpu: load is measured in percent of it"),
    validation = Rule::new("!has(self.exposure) || has(self.issuer)")
        .message("spec.exposure needs spec.issuer: set the address that clients use, such as https://auth.example.com"),
    validation = Rule::new("!has(self.exposure) || !has(self.networkPolicy) || !self.networkPolicy.enabled || has(self.networkPolicy.allowFrom)")
        .message("spec.exposure with spec.networkPolicy.enabled needs spec.networkPolicy.allowFrom: name the namespace of the ingress controller or gateway there"),
    validation = Rule::new("!(has(self.registration) && self.registration.enabled) || (has(self.email) && self.email.enabled)")
        .message("spec.registration.enabled needs spec.email.enabled: addresses are verified by e-mail"),
    validation = Rule::new(STORAGE_IS_IMMUTABLE)
        .message("spec.database.embedded.storage cannot be changed, because the volume already exists: migrate to an external database with spec.database.urlSecretRef instead")
)]
#[serde(rename_all = "camelCase")]
pub struct AuthServiceSpec {
    /// Pauses reconciling: while this is true, the operator changes nothing. Running pods continue to serve.
    #[serde(default, skip_serializing_if = "is_default")]
    pub paused: bool,
    /// The number of server replicas. 0 stops the server and keeps everything else. With spec.autoscaling the
    /// autoscaler sets the number, and this field must be unset or 0.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,
    /// Scales the server by its CPU load, instead of spec.replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// The server's container image. Default: the image of the operator's release.
    #[serde(default, skip_serializing_if = "is_default")]
    pub image: Image,
    /// The issuer: the `iss` claim of every token, and the base URL that applications use. An http or https URL
    /// without query and fragment. Default: http://NAME.NAMESPACE.svc, which works inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^/?#@\\\\s]+(/[^?#\\\\s]*)?$') && isURL(self)")
        .message("spec.issuer must be an http or https URL without user, query and fragment, such as https://auth.example.com"))]
    pub issuer: Option<String>,
    /// The PostgreSQL database for accounts and sessions: `urlSecretRef` for an external database, or `embedded` (the
    /// default) for a small one that the operator runs, for evaluation.
    #[serde(default, skip_serializing_if = "is_default")]
    #[x_kube(validation = Rule::new("!(has(self.urlSecretRef) && has(self.embedded))")
        .message("spec.database: set urlSecretRef or embedded, not both"))]
    pub database: Database,
    /// The Redis or Valkey for token revocations: `urlSecretRef` for an external one, which must not evict keys, or
    /// `embedded` (the default) for a small one that the operator runs.
    #[serde(default, skip_serializing_if = "is_default")]
    #[x_kube(validation = Rule::new("!(has(self.urlSecretRef) && has(self.embedded))")
        .message("spec.redis: set urlSecretRef or embedded, not both"))]
    pub redis: Redis,
    /// Custom certificate authorities for connections to the database, Redis and the SMTP server, in addition to the
    /// public ones. If any is set, a database URL without `sslmode` uses `sslmode=verify-full`; for a database without
    /// TLS set `sslmode=disable` in the URL.
    #[serde(rename = "trustedCAs", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub trusted_cas: Vec<TrustedCa>,
    /// Signature algorithm, lifetimes and key rotation of tokens.
    #[serde(default)]
    pub tokens: Tokens,
    /// E-mail for password recovery, address verification and invitations.
    #[serde(default, skip_serializing_if = "is_default")]
    pub email: Email,
    /// The first superuser, created when the service has none. Only a superuser can create accounts for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_admin: Option<BootstrapAdmin>,
    /// Self-registration.
    #[serde(default, skip_serializing_if = "is_default")]
    pub registration: Registration,
    /// Permissions, limits and defaults of accounts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub accounts: Accounts,
    /// Requirements for new passwords.
    #[serde(default, skip_serializing_if = "is_default")]
    pub password_policy: PasswordPolicy,
    /// The audit log.
    #[serde(default, skip_serializing_if = "is_default")]
    pub audit: Audit,
    /// The login probe of each replica. `Ready` requires that it succeeds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub login_probe: LoginProbe,
    /// Limits on attempts to log in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rate_limits: RateLimits,
    /// The class of the operator that reconciles this AuthService, like an IngressClass. Unset: the operator without a
    /// class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("spec.operatorClass must contain only lower-case letters, digits and '-', such as blue"))]
    pub operator_class: Option<String>,
    /// The maximum number of open connections to the API port of each replica. At the limit the connection that has
    /// been idle for the longest time is closed in favour of a new one. A connection can take 32 KiB of memory.
    #[serde(default = "max_connections")]
    #[schemars(range(min = 10, max = 1_000_000))]
    pub max_connections: i32,
    /// The networks of proxies whose X-Forwarded-For header is trusted, such as 10.0.0.0/8. Rate limits and the audit
    /// log use the client address from that header. Empty: the address of the connection is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 2, max = 49)))]
    #[x_kube(validation = Rule::new("self.all(network, isCIDR(network) || isIP(network))")
        .message("spec.trustedProxies must contain networks such as 10.0.0.0/8, or addresses"))]
    pub trusted_proxies: Vec<String>,
    /// The origins (scheme, host and port) that may call the API from a browser or a web view (CORS), such as
    /// https://app.example.com or capacitor://localhost. Empty: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 5, max = 300)))]
    #[x_kube(validation = Rule::new("self.all(origin, origin.matches('^[A-Za-z][A-Za-z0-9+.-]*://[^/?#@,\\\\s]+$') && isURL(origin))")
        .message("spec.corsAllowedOrigins must contain origins such as https://app.example.com: scheme, host and port, nothing else"))]
    pub cors_allowed_origins: Vec<String>,
    /// The client that may introspect and revoke tokens, in addition to superusers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection_client: Option<IntrospectionClient>,
    /// Which OAuth clients (AuthClient) may be registered, and the most that they may ask for. Default: those in the
    /// namespace of the AuthService, without a limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clients: Clients,
    /// Whether pods authenticate with the projected token of their ServiceAccount. Default: they do not.
    #[serde(default, skip_serializing_if = "is_default")]
    pub workload_identity: WorkloadIdentity,
    /// TLS of the API port. Unset: the API is served by unencrypted HTTP inside the cluster. The default of spec.issuer
    /// begins with https:// if this is set, and tokens of another issuer are invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Exposes the API outside the cluster. Unset: the API is only available inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// NetworkPolicies for the pods.
    #[serde(default, skip_serializing_if = "is_default")]
    pub network_policy: NetworkPolicy,
    /// Prometheus monitoring.
    #[serde(default, skip_serializing_if = "is_default")]
    pub monitoring: Monitoring,
    /// The server's log, on standard error.
    #[serde(default, skip_serializing_if = "is_default")]
    pub logging: Logging,
    /// OpenTelemetry traces.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tracing: Tracing,
    /// Scheduling, resources, labels and annotations of the server's pods.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pod: Pod,
    /// Overrides of the pod template of the server's Deployment, such as additional volumes, containers and environment
    /// variables. They are merged by the rules of Kubernetes: lists of named elements by name. What identifies or secures
    /// the pods, the command, the settings and the mounted files cannot be overridden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
    /// The ServiceAccount of the server's pods.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service_account: ServiceAccount,
    /// The Job that migrates the database schema.
    #[serde(default, skip_serializing_if = "is_default")]
    pub migration: Migration,
    /// How the server's pods are replaced when they change.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rollout: Rollout,
}

/// The volume claim templates of a StatefulSet are immutable. The rule applies while the database stays embedded.
const STORAGE_IS_IMMUTABLE: &str = "\
    (has(oldSelf.database) && has(oldSelf.database.urlSecretRef)) || \
    (has(self.database) && has(self.database.urlSecretRef)) || \
    (has(self.database) && has(self.database.embedded) && has(self.database.embedded.storage) \
        ? self.database.embedded.storage : '') == \
    (has(oldSelf.database) && has(oldSelf.database.embedded) && has(oldSelf.database.embedded.storage) \
        ? oldSelf.database.embedded.storage : '')";

fn default_replicas() -> i32 {
    1
}

fn max_connections() -> i32 {
    2000
}

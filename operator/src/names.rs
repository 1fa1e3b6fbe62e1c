//! Every name the operator gives: objects, labels, annotations, ports, paths.

use std::collections::BTreeMap;

/// The field manager of everything the operator applies, the value of the managed-by label, and the name of
/// the election's Lease.
pub const OPERATOR: &str = "latchkey-operator";
/// Selects everything the operator made.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The label that names the AuthService.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
const NAME: &str = "app.kubernetes.io/name";
const COMPONENT: &str = "app.kubernetes.io/component";
const PRODUCT: &str = "latchkey";

/// The prefix of every annotation.
pub const ANNOTATIONS: &str = "latchkey.dev/";
/// Hash of the ids and phases of the keys that a pod is to load: a change of it makes the kubelet look at once.
pub const KEYS_ANNOTATION: &str = "latchkey.dev/keys";
/// Hash of what was rendered, on every object.
pub const RENDERED_ANNOTATION: &str = "latchkey.dev/rendered";
/// Hash of what the pods mount, on pod templates.
pub const CHECKSUM_ANNOTATION: &str = "latchkey.dev/checksum";
/// Names the database that a Deployment or a migration Job works with; a hash.
pub const DATABASE_ANNOTATION: &str = "latchkey.dev/database";
/// Hash of what a migration Job was given, the password included.
pub const INPUTS_ANNOTATION: &str = "latchkey.dev/inputs";

/// Port of the API in the server's pods.
pub const HTTP_PORT: i32 = 8080;
/// Port of health, metrics and status in the server's pods.
pub const MANAGEMENT_PORT: u16 = 9090;
/// The key in the key set's Secret.
pub const KEYS_KEY: &str = "keys.json";
/// The key beside it that holds the salt of the hashes in annotations.
pub const SALT_KEY: &str = "salt";
/// User and group of the server's pods.
pub const SERVER_USER: i64 = 65532;
/// User and group of the embedded stores' pods, which is the official images' own.
pub const STORE_USER: i64 = 999;

/// What a pod is for; the component label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// The auth server.
    Server,
    /// The migration Job.
    Migration,
    /// The embedded PostgreSQL.
    Postgres,
    /// The embedded Valkey.
    Redis,
}

impl Component {
    /// The label's name.
    pub const LABEL: &'static str = COMPONENT;

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Migration => "migration",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }
}

/// The names of what one AuthService owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    name: String,
}

impl Names {
    /// Names derived from the AuthService's own, which the API server keeps to 40 characters.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// ServiceAccount, Service, Deployment, PodDisruptionBudget, ServiceMonitor, HorizontalPodAutoscaler, Ingress,
    /// HTTPRoute, Certificate, and the servers' NetworkPolicy.
    pub fn base(&self) -> &str {
        &self.name
    }

    /// ConfigMap of the settings.
    pub fn settings(&self) -> String {
        format!("{}-settings", self.name)
    }

    /// Secret of the key set.
    pub fn jwt_keys(&self) -> String {
        format!("{}-jwt-keys", self.name)
    }

    /// Secret of the SMTP login.
    pub fn smtp(&self) -> String {
        format!("{}-smtp", self.name)
    }

    /// Secret of the certificate authorities.
    pub fn trusted_cas(&self) -> String {
        format!("{}-trusted-cas", self.name)
    }

    /// Headless Service of the management port.
    pub fn management(&self) -> String {
        format!("{}-management", self.name)
    }

    /// StatefulSet, Service and Secret of the embedded PostgreSQL.
    pub fn postgres(&self) -> String {
        format!("{}-postgres", self.name)
    }

    /// StatefulSet, Service and Secret of the embedded Valkey.
    pub fn redis(&self) -> String {
        format!("{}-redis", self.name)
    }

    /// Secret that cert-manager keeps the certificate in.
    pub fn tls(&self) -> String {
        format!("{}-tls", self.name)
    }

    /// NetworkPolicy of the migration Jobs.
    pub fn migrations(&self) -> String {
        format!("{}-migrations", self.name)
    }

    /// Every Secret that the operator makes.
    pub fn secrets(&self) -> [String; 5] {
        [self.jwt_keys(), self.smtp(), self.trusted_cas(), self.postgres(), self.redis()]
    }

    /// The migration Job for what `hash` names.
    pub fn migration(&self, hash: &str) -> String {
        format!("{}-migrate-{hash}", self.name)
    }

    /// Labels by which a Service or a controller finds the pods of a component.
    pub fn selector(&self, component: Component) -> BTreeMap<String, String> {
        [(NAME, PRODUCT), (INSTANCE, self.name.as_str()), (COMPONENT, component.as_str())]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// The labels of an object that belongs to a component.
    pub fn labels(&self, component: Component) -> BTreeMap<String, String> {
        let mut labels = self.selector(component);
        labels.insert(MANAGED_BY.to_owned(), OPERATOR.to_owned());
        labels
    }

    /// The server pods' selector as the scale subresource wants it: one string.
    pub fn selector_text(&self) -> String {
        let pairs: Vec<String> =
            self.selector(Component::Server).iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(",")
    }
}

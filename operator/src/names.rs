//! All names that the operator assigns: objects, labels, annotations, ports, paths.

use std::collections::BTreeMap;

pub(crate) use latchkey_crds::pod_template::{ANNOTATIONS, HTTP_PORT, MANAGEMENT_PORT, SERVER_CONTAINER};

/// The field manager of all writes, the value of the managed-by label, and the prefix of the election's Lease.
pub(crate) const OPERATOR: &str = "latchkey-operator";
/// The name of the Lease of the operators of a class. Operators of different classes do not share it.
pub(crate) fn lease(class: Option<&str>) -> String {
    class.map_or_else(|| OPERATOR.to_owned(), |class| format!("{OPERATOR}-{class}"))
}

/// The kind of the OAuth clients.
pub(crate) const AUTH_CLIENT: &str = "AuthClient";

/// Selects all objects of the operator.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The label that names the AuthService.
pub(crate) const INSTANCE: &str = "app.kubernetes.io/instance";
const NAME: &str = "app.kubernetes.io/name";
const COMPONENT: &str = "app.kubernetes.io/component";
const PRODUCT: &str = "latchkey";

/// Hash of the ids and phases of the keys that a pod should load; a change makes the kubelet update the mounted
/// Secret immediately.
pub(crate) const KEYS_ANNOTATION: &str = "latchkey.dev/keys";
/// The serial of the client registry that a pod should load; a change makes the kubelet update the mounted Secret
/// immediately.
pub(crate) const CLIENTS_ANNOTATION: &str = "latchkey.dev/clients";
/// Set by a user on an AuthClient: rotates its secret now. On its Secret: the value that was processed last.
pub(crate) const ROTATE_SECRET_ANNOTATION: &str = "latchkey.dev/rotate-secret";
/// Set by a user on an AuthClient: the secrets before the current one stop working now.
pub(crate) const REVOKE_SECRET_ANNOTATION: &str = "latchkey.dev/revoke-previous-secret";
/// Proves that the operator generated the client secret in a Secret: an HMAC whose key is that secret.
pub(crate) const GENERATED_ANNOTATION: &str = "latchkey.dev/generated";
/// When the operator generated the client secret in a Secret.
pub(crate) const ROTATED_AT_ANNOTATION: &str = "latchkey.dev/rotated-at";
/// Hash of the rendered object, on every object.
pub(crate) const RENDERED_ANNOTATION: &str = "latchkey.dev/rendered";
/// The signing key and its phase that a pod must have loaded to become ready (see `signing_keys::required_key`).
pub(crate) const REQUIRED_KEY_ANNOTATION: &str = "latchkey.dev/required-key";
/// What admission changed in an object that the operator wrote: keyed hashes of the changes.
pub(crate) const ADMITTED_ANNOTATION: &str = "latchkey.dev/admitted";
/// Hash of the mounted content, on pod templates.
pub(crate) const CHECKSUM_ANNOTATION: &str = "latchkey.dev/checksum";
/// Identifies the database of a Deployment or migration Job; a hash.
pub(crate) const DATABASE_ANNOTATION: &str = "latchkey.dev/database";
/// Hash of the inputs of a migration Job, including the password.
pub(crate) const INPUTS_ANNOTATION: &str = "latchkey.dev/inputs";
/// The migration Job after which a Deployment was written. It stays when the Job is deleted.
pub(crate) const MIGRATED_ANNOTATION: &str = "latchkey.dev/migrated";

/// Names the AuthService on an object that outlives it, instead of the label [`INSTANCE`]: tools that track what they
/// installed by that label would delete the object.
pub(crate) const AUTH_SERVICE_ANNOTATION: &str = "latchkey.dev/auth-service";
/// Names the AuthService that may adopt a Secret without owner, such as a restored one.
pub(crate) const ADOPT_ANNOTATION: &str = "latchkey.dev/adopt";
/// Argo CD deletes no object with this annotation and value.
pub(crate) const ARGO_CD_SYNC_OPTIONS: (&str, &str) = ("argocd.argoproj.io/sync-options", "Prune=false");

/// The key in the key set's Secret.
pub(crate) const KEYS_KEY: &str = "keys.json";
/// The keys in the ConfigMap of the public keys.
pub(crate) const ISSUER_KEY: &str = "issuer";
pub(crate) const JWKS_KEY: &str = "jwks.json";
/// The key in the Secret of the client registry.
pub(crate) const CLIENTS_KEY: &str = "clients.json.gz";
/// The volume of the client registry in the server's pods.
pub(crate) const CLIENTS_VOLUME: &str = "clients";
/// The key with the salt of hashes in annotations, in the same Secret.
pub(crate) const SALT_KEY: &str = "salt";
/// The finalizer of a registered AuthClient: it exists until no replica accepts the client.
pub(crate) fn registration_finalizer() -> String {
    format!("{ANNOTATIONS}registration")
}

/// The labels of the Secret of an AuthClient.
pub(crate) fn client_labels() -> BTreeMap<String, String> {
    [(NAME, PRODUCT), (COMPONENT, "client"), (MANAGED_BY, OPERATOR)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// User and group of the server's pods.
pub(crate) const SERVER_USER: i64 = 65532;
/// User and group of the embedded stores' pods, as in the official images.
pub(crate) const STORE_USER: i64 = 999;

/// The purpose of a pod; the component label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Component {
    Server,
    Migration,
    Postgres,
    Redis,
}

impl Component {
    /// The label's name.
    pub(crate) const LABEL: &'static str = COMPONENT;

    /// The label's value.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Migration => "migration",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }
}

/// The names of the objects of one AuthService.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    name: String,
}

impl Names {
    /// Derived from the name of the AuthService, which has at most 40 characters.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// ServiceAccount, Service, Deployment, PodDisruptionBudget, ServiceMonitor, HorizontalPodAutoscaler, Ingress,
    /// HTTPRoute, Certificate, and the server's NetworkPolicy.
    pub(crate) fn base(&self) -> &str {
        &self.name
    }

    /// ConfigMap of the settings.
    pub(crate) fn settings(&self) -> String {
        format!("{}-settings", self.name)
    }

    /// Secret of the key set.
    pub(crate) fn jwt_keys(&self) -> String {
        format!("{}-jwt-keys", self.name)
    }

    /// ConfigMap of the issuer and the public keys.
    pub(crate) fn jwks(&self) -> String {
        format!("{}-jwks", self.name)
    }

    /// Secret of the SMTP credentials.
    pub(crate) fn smtp(&self) -> String {
        format!("{}-smtp", self.name)
    }

    /// Secret of the certificate authorities.
    pub(crate) fn trusted_cas(&self) -> String {
        format!("{}-trusted-cas", self.name)
    }

    /// Secret of the client registry.
    pub(crate) fn clients(&self) -> String {
        format!("{}-clients", self.name)
    }

    /// Headless Service of the management port.
    pub(crate) fn management(&self) -> String {
        format!("{}-management", self.name)
    }

    /// StatefulSet, Service and Secret of the embedded PostgreSQL.
    pub(crate) fn postgres(&self) -> String {
        format!("{}-postgres", self.name)
    }

    /// StatefulSet, Service and Secret of the embedded Valkey.
    pub(crate) fn redis(&self) -> String {
        format!("{}-redis", self.name)
    }

    /// Secret in which cert-manager stores the certificate.
    pub(crate) fn tls(&self) -> String {
        format!("{}-tls", self.name)
    }

    /// Certificate of the API port.
    pub(crate) fn api_certificate(&self) -> String {
        format!("{}-api", self.name)
    }

    /// Secret in which cert-manager stores the certificate of the API port.
    pub(crate) fn api_tls(&self) -> String {
        format!("{}-api-tls", self.name)
    }

    /// ConfigMap of the authorities of the API port's certificate.
    pub(crate) fn api_ca(&self) -> String {
        format!("{}-api-ca", self.name)
    }

    /// NetworkPolicy of the migration Jobs.
    pub(crate) fn migrations(&self) -> String {
        format!("{}-migrations", self.name)
    }

    /// All Secrets that the operator creates.
    pub(crate) fn secrets(&self) -> [String; 6] {
        [self.jwt_keys(), self.smtp(), self.trusted_cas(), self.clients(), self.postgres(), self.redis()]
    }

    /// The migration Job for this hash.
    pub(crate) fn migration(&self, hash: &str) -> String {
        format!("{}-migrate-{hash}", self.name)
    }

    /// The labels that select the pods of a component.
    pub(crate) fn selector(&self, component: Component) -> BTreeMap<String, String> {
        [(NAME, PRODUCT), (INSTANCE, self.name.as_str()), (COMPONENT, component.as_str())]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// The labels of an object that belongs to a component.
    pub(crate) fn labels(&self, component: Component) -> BTreeMap<String, String> {
        let mut labels = self.selector(component);
        labels.insert(MANAGED_BY.to_owned(), OPERATOR.to_owned());
        labels
    }

    /// The selector of the server's pods in the form of the scale subresource: one string.
    pub(crate) fn selector_text(&self) -> String {
        let pairs: Vec<String> =
            self.selector(Component::Server).iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(",")
    }
}

//! External PostgreSQL, Redis and SMTP servers, as a platform team would provide them: pods in the namespace of the
//! test, with certificates of a private certificate authority, and the Secrets that an AuthService references.

use std::fs;

use latchkey_tests::authority::Authority;
use latchkey_tests::logs::secret;
use latchkey_tests::process::run_with_input;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::namespace::Namespace;

/// The user name at the SMTP server.
const SMTP_USER: &str = "latchkey@mail.example.test";

/// The running servers.
pub struct Stores {
    /// The first superuser's password.
    pub admin_password: String,
    tls: Tls,
}

/// The certificate of all servers.
struct Tls {
    certificate: String,
    key: String,
}

impl Tls {
    /// Issues it, and creates the ConfigMap `authority` with its certificate authority.
    async fn apply(namespace: &Namespace) -> Self {
        let authority = Authority::new("The platform team");
        let issued = authority.issue_for("DNS:postgres,DNS:valkey,DNS:mailpit");
        let metadata = json!({"name": "authority"});
        let data = json!({"ca.crt": authority.text()});
        namespace
            .apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}))
            .await;
        let text = |file| fs::read_to_string(file).expect("a file of the certificate");
        Self { certificate: text(issued.certificate), key: text(issued.key) }
    }

    /// Creates the Secret that is mounted into a server at /secrets.
    async fn apply_with(&self, namespace: &Namespace, name: &str, key: &str, value: &str) {
        let tls = [("tls.crt", self.certificate.as_str()), ("tls.key", &self.key)];
        namespace.apply_secret(name, &[&[(key, value)], &tls[..]].concat()).await;
    }
}

/// Starts all servers, creates the Secrets `database`, `redis`, `smtp` and `admin`, and waits until the pods are ready.
pub async fn start(namespace: &Namespace) -> Stores {
    let database = secret("database");
    let redis = secret("redis");
    let admin_password = secret("admin");
    let (db, kv) = (
        format!("postgres://latchkey:{database}@postgres:5432/auth"),
        format!("rediss://:{redis}@valkey:6379"),
    );
    namespace.apply_secret("database", &[("url", &db)]).await;
    namespace.apply_secret("redis", &[("url", &kv)]).await;
    apply_admin(namespace, &admin_password).await;
    let tls = Tls::apply(namespace).await;
    tls.apply_with(namespace, "postgres", "password", &database).await;
    let conf = format!(
        "requirepass {redis}\nsave \"\"\nport 0\ntls-port 6379\ntls-auth-clients no\ntls-cert-file /secrets/tls.crt\ntls-key-file /secrets/tls.key\n"
    );
    tls.apply_with(namespace, "valkey", "valkey.conf", &conf).await;
    run_postgres_with(
        namespace,
        &["ssl=on", "ssl_cert_file=/secrets/tls.crt", "ssl_key_file=/secrets/tls.key"],
    )
    .await;
    run_valkey(namespace).await;
    let password = secret("smtp");
    apply_smtp_credentials(namespace, &password).await;
    let stores = Stores { admin_password, tls };
    stores.run_mailpit(namespace, &password).await;
    for pod in ["postgres", "valkey", "mailpit"] {
        namespace.wait_for_pod(pod).await;
    }
    stores
}

/// Creates the Secret of the first superuser, `root.admin`.
pub async fn apply_admin(namespace: &Namespace, password: &str) {
    let admin = [("username", "root.admin"), ("email", "root@example.test"), ("password", password)];
    namespace.apply_secret("admin", &admin).await;
}

/// Creates the Secret with the credentials for the SMTP server.
pub async fn apply_smtp_credentials(namespace: &Namespace, password: &str) {
    namespace.apply_secret("smtp", &[("username", SMTP_USER), ("password", password)]).await;
}

/// The spec of an AuthService with these servers.
pub fn spec(replicas: i32) -> Value {
    json!({
        "replicas": replicas,
        "database": {"urlSecretRef": {"name": "database"}},
        "redis": {"urlSecretRef": {"name": "redis"}},
        "trustedCAs": [{"configMapRef": {"name": "authority"}}],
        "email": {
            "enabled": true,
            "from": {"name": "Example Accounts", "address": "no-reply@example.test"},
            "smtp": {
                "host": "mailpit",
                "port": 1025,
                "security": "starttls",
                "credentialsSecretRef": {"name": "smtp"},
            },
        },
        "bootstrapAdmin": {"secretRef": {"name": "admin"}},
    })
}

/// Creates a role with the rights of the first one in the PostgreSQL of [`start`].
pub fn add_database_role(namespace: &Namespace, name: &str, password: &str) {
    let role = format!("CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE latchkey;");
    // `kubectl exec` sometimes ends the input before it has sent it.
    wait::until_blocking("the role to be created", || {
        let mut psql = namespace.cluster.kubectl();
        psql.args(["-n", &namespace.name, "exec", "-i", "postgres", "--"]);
        psql.args(["psql", "-h", "/tmp", "-U", "latchkey", "-d", "auth"]);
        let made = run_with_input(&mut psql, &role);
        let printed = String::from_utf8_lossy(&made.stdout).into_owned();
        wait::check(printed.contains("CREATE ROLE"), made)
    });
}

/// Starts a PostgreSQL without TLS, with the database `auth`; its password is in the Secret `postgres`.
pub async fn run_postgres(namespace: &Namespace) {
    run_postgres_with(namespace, &[]).await;
}

async fn run_postgres_with(namespace: &Namespace, settings: &[&str]) {
    let settings = [&["unix_socket_directories=/tmp"], settings].concat();
    let arguments: Vec<&str> =
        ["postgres"].into_iter().chain(settings.into_iter().flat_map(|setting| ["-c", setting])).collect();
    let ready = json!(["pg_isready", "-h", "127.0.0.1", "-U", "latchkey", "-d", "auth"]);
    let container = json!({
        "image": namespace.cluster.images.postgres,
        "args": arguments,
        "env": [
            {"name": "POSTGRES_USER", "value": "latchkey"},
            {"name": "POSTGRES_DB", "value": "auth"},
            {"name": "POSTGRES_PASSWORD_FILE", "value": "/secrets/password"},
            {"name": "PGDATA", "value": "/tmp/pgdata"},
        ],
        "readinessProbe": {"exec": {"command": ready}, "periodSeconds": 1},
    });
    namespace.run("postgres", container, Some(5432), true).await;
}

async fn run_valkey(namespace: &Namespace) {
    let container = json!({
        "image": namespace.cluster.images.valkey,
        "args": ["/secrets/valkey.conf"],
        "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
    });
    namespace.run("valkey", container, Some(6379), true).await;
}

impl Stores {
    /// Starts an SMTP server that requires a login with this password.
    pub async fn run_mailpit(&self, namespace: &Namespace, password: &str) {
        self.tls.apply_with(namespace, "mailpit", "logins", &format!("{SMTP_USER}:{password}\n")).await;
        let container = json!({
            "image": namespace.cluster.images.mailpit,
            "args": [
                "--smtp-auth-file=/secrets/logins",
                "--smtp-tls-cert=/secrets/tls.crt",
                "--smtp-tls-key=/secrets/tls.key",
                "--smtp-require-starttls",
                "--smtp-disable-rdns",
                "--database=/tmp/mail.db",
            ],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8025}, "periodSeconds": 1},
        });
        namespace.run("mailpit", container, None, true).await;
        namespace
            .apply(json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "mailpit"},
                "spec": {
                    "selector": {"e2e": "mailpit"},
                    "ports": [{"name": "smtp", "port": 1025}, {"name": "http", "port": 8025}],
                },
            }))
            .await;
    }
}

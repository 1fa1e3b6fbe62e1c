//! PostgreSQL, Redis and SMTP that the operator does not run, as a platform team brings them along: pods in
//! the test's namespace, and the Secrets that an AuthService refers to.

use latchkey_tests::logs::secret;
use serde_json::{Value, json};

use crate::namespace::Namespace;

/// The user whose login the SMTP server asks for.
const SMTP_USER: &str = "latchkey@mail.example.test";

/// What was brought along.
pub struct Stores {
    /// The first superuser's password.
    pub admin_password: String,
}

/// Starts all of it, with the Secrets `database`, `redis`, `smtp` and `admin`, and waits until it answers.
pub async fn start(namespace: &Namespace) -> Stores {
    let database = secret("database");
    let redis = secret("redis");
    let admin_password = secret("admin");
    let (db, kv) = (
        format!("postgres://latchkey:{database}@postgres:5432/auth"),
        format!("redis://:{redis}@valkey:6379"),
    );
    namespace.apply_secret("database", &[("url", &db)]).await;
    namespace.apply_secret("redis", &[("url", &kv)]).await;
    apply_admin(namespace, &admin_password).await;
    namespace.apply_secret("postgres", &[("password", &database)]).await;
    namespace.apply_secret("valkey", &[("valkey.conf", &format!("requirepass {redis}\nsave \"\"\n"))]).await;
    run_postgres(namespace).await;
    run_valkey(namespace).await;
    let password = secret("smtp");
    apply_smtp_credentials(namespace, &password).await;
    run_mailpit(namespace, &password).await;
    for pod in ["postgres", "valkey", "mailpit"] {
        namespace.wait_for_pod(pod).await;
    }
    Stores { admin_password }
}

/// The Secret of the first superuser, `root.admin`.
pub async fn apply_admin(namespace: &Namespace, password: &str) {
    let admin = [("username", "root.admin"), ("email", "root@example.test"), ("password", password)];
    namespace.apply_secret("admin", &admin).await;
}

/// The Secret of the login at the SMTP server.
pub async fn apply_smtp_credentials(namespace: &Namespace, password: &str) {
    namespace.apply_secret("smtp", &[("username", SMTP_USER), ("password", password)]).await;
}

/// The spec of an AuthService on all of it.
pub fn spec(replicas: i32) -> Value {
    json!({
        "replicas": replicas,
        "database": {"urlSecretRef": {"name": "database"}},
        "redis": {"urlSecretRef": {"name": "redis"}},
        "email": {
            "enabled": true,
            "from": {"name": "Example Accounts", "address": "no-reply@example.test"},
            "smtp": {
                "host": "mailpit",
                "port": 1025,
                "security": "none",
                "credentialsSecretRef": {"name": "smtp"},
            },
        },
        "bootstrapAdmin": {"secretRef": {"name": "admin"}},
    })
}

/// Starts a PostgreSQL with the database `auth`; its password is in the Secret `postgres`.
pub async fn run_postgres(namespace: &Namespace) {
    let ready = json!(["pg_isready", "-h", "127.0.0.1", "-U", "latchkey", "-d", "auth"]);
    let container = json!({
        "image": namespace.cluster.images.postgres,
        "args": ["postgres", "-c", "unix_socket_directories=/tmp"],
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

/// Starts an SMTP server that lets in who logs in with this password, and nobody else.
pub async fn run_mailpit(namespace: &Namespace, password: &str) {
    namespace.apply_secret("mailpit", &[("logins", &format!("{SMTP_USER}:{password}\n"))]).await;
    let container = json!({
        "image": namespace.cluster.images.mailpit,
        "args": [
            "--smtp-auth-file=/secrets/logins",
            "--smtp-auth-allow-insecure",
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

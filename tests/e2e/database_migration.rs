//! Migration from an embedded PostgreSQL to an external database, with the commands of
//! docs/how-to/migrate-from-the-embedded-database.md.

use latchkey_tests::app::path;
use latchkey_tests::logs::secret;
use latchkey_tests::process::run_ok;
use serde_json::json;

use crate::client::{Client, Request};
use crate::namespace::{Namespace, SERVER_PODS};
use crate::stores;

/// The command of the page, with the namespace and the pod of the external database.
const COPY: &str = r#"set -o pipefail
"$0" -n "$1" exec auth-postgres-0 -- pg_dump -U latchkey --no-owner latchkey |
  "$0" -n "$1" exec -i postgres -- psql -v ON_ERROR_STOP=1 -q -1 -h /tmp -U latchkey auth"#;

#[tokio::test]
async fn accounts_and_sessions_move_to_an_external_database() {
    let namespace = Namespace::new("database-migration").await;
    let password = secret("admin");
    stores::apply_admin(&namespace, &password).await;
    let database = secret("database");
    namespace.apply_secret("postgres", &[("password", &database)]).await;
    stores::run_postgres(&namespace).await;
    let admin = json!({"secretRef": {"name": "admin"}});
    namespace.bring_up("embedded stores", json!({"bootstrapAdmin": admin})).await;
    let client = Client::start(&namespace).await;
    client.wait_until_routed().await;
    let session = client.log_in("root.admin", &password);
    let out = client.log_in("root.admin", &password);
    let log_out = Request::post(client.url(path::LOGOUT)).bearer(&out.access);
    client.send(&log_out).ok(200);
    namespace.wait_for_pod("postgres").await;

    namespace.kubectl(&["scale", "authsvc/auth", "--replicas=0"]);
    // A pod that ends serves for some more seconds, and may still write.
    namespace.kubectl(&["wait", "pod", "-l", SERVER_PODS, "--for=delete", "--timeout=2m"]);
    let kubectl = namespace.cluster.kubectl();
    let mut copy = std::process::Command::new("bash");
    copy.args(["-c", COPY]).arg(kubectl.get_program()).arg(&namespace.name);
    copy.envs(kubectl.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run_ok(&mut copy);
    let url = format!("postgres://latchkey:{database}@postgres:5432/auth");
    namespace.apply_secret("database", &[("url", &url)]).await;
    namespace
        .merge(json!({"spec": {"replicas": 1, "database": {"urlSecretRef": {"name": "database"}}}}))
        .await;
    namespace.wait_until_ready().await;
    client.wait_until_routed().await;
    // The account and the session are the same, and the logged-out session remains ended.
    client.me(&session.access).ok(200);
    client.refresh(&session).ok(200);
    client.me(&out.access).problem(401);
    client.log_in("root.admin", &password);
}

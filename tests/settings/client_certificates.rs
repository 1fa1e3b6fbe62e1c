//! `DATABASE_CLIENT_CERT_FILE`: a PostgreSQL that accepts only clients with a certificate.

use latchkey_tests::authority::Authority;
use latchkey_tests::key_set::{self, KeyFile};
use latchkey_tests::postgres::Postgres;
use latchkey_tests::redis::Redis;
use latchkey_tests::server::{Variables, run_command};

/// The access rules of a PostgreSQL that requires a client certificate.
const RULES: &str = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n";

/// Whether a command succeeds, and its output.
fn run(arguments: &[&str], variables: &Variables) -> (bool, String) {
    let output = run_command(arguments, variables);
    let text = String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap();
    assert_eq!(latchkey_tests::logs::leak(&text), None, "{text}");
    (output.status.success(), text)
}

#[tokio::test]
async fn the_server_and_its_commands_present_the_certificate_to_postgresql() {
    let authority = Authority::new("PostgreSQL CA");
    let postgres = Postgres::start_with_tls(&authority.issue());
    let database = postgres.create_database().await;
    let mut connection = database.connect().await;
    // Relative to the folder of the data.
    for (file, text) in [("clients.crt", authority.text()), ("pg_hba.conf", RULES.to_owned())] {
        let sql = "SELECT lo_from_bytea(0, convert_to($1, 'UTF8'))::bigint";
        let object: i64 = sqlx::query_scalar(sql).bind(text).fetch_one(&mut connection).await.unwrap();
        let export = sqlx::query("SELECT lo_export($1::bigint::oid, $2)").bind(object).bind(file);
        export.execute(&mut connection).await.unwrap();
    }
    for sql in ["ALTER SYSTEM SET ssl_ca_file = 'clients.crt'", "SELECT pg_reload_conf()"] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    let (redis, keys) = (Redis::start(), KeyFile::new(&[key_set::generate("ES256")]));
    let mut variables = latchkey_tests::app::default_variables(&database, &redis, &keys);
    variables.insert("EXTRA_CA_FILE".to_owned(), authority.bundle().display().to_string());

    latchkey_tests::wait::until("a connection without a certificate to be refused", async || {
        let (works, text) = run(&["check"], &variables);
        latchkey_tests::wait::check(!works && text.contains("FAIL  database"), text)
    })
    .await;

    let certificate = authority.issue();
    let set = |name: &str, path: &str| (name.to_owned(), path.to_owned());
    let key = set("DATABASE_CLIENT_KEY_FILE", &certificate.key.display().to_string());
    variables.extend([key, set("DATABASE_CLIENT_CERT_FILE", "/nowhere/tls.crt")]);
    let (_, text) = run(&["check"], &variables);
    assert!(text.contains("DATABASE_CLIENT_CERT_FILE /nowhere/tls.crt cannot be read"), "{text}");

    variables.extend([set("DATABASE_CLIENT_CERT_FILE", &certificate.certificate.display().to_string())]);
    for arguments in [&["check"][..], &["migrate"], &["sessions", "end-all"]] {
        let (works, text) = run(arguments, &variables);
        assert!(works, "{arguments:?}: {text}");
    }

    variables.remove("DATABASE_CLIENT_KEY_FILE");
    for arguments in [&["check"][..], &["migrate"]] {
        let (works, text) = run(arguments, &variables);
        assert!(!works && text.contains("DATABASE_CLIENT_KEY_FILE is required"), "{arguments:?}: {text}");
    }
}

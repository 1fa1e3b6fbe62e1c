//! URLs of PostgreSQL: several hosts, TLS, sockets and passwords. `migrate` connects with each.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use latchkey_tests::app::App;
use latchkey_tests::authority::Authority;
use latchkey_tests::link::Link;
use latchkey_tests::logs;
use latchkey_tests::postgres::{Database, Postgres};
use latchkey_tests::process::run;
use latchkey_tests::programs;
use latchkey_tests::server::{Variables, run_command};
use tokio::sync::OnceCell;

/// Runs `migrate` with this URL and returns what it reports if it fails.
fn connect_with(url: &str, more: &[(&str, String)]) -> Result<(), String> {
    let mut variables = Variables::from([("DATABASE_URL".to_owned(), url.to_owned())]);
    variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let output = run_command(&["migrate"], &variables);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(logs::leak(&said), None, "{said}");
    if output.status.success() { Ok(()) } else { Err(said) }
}

#[track_caller]
fn assert_connects(url: &str, more: &[(&str, String)]) {
    if let Err(said) = connect_with(url, more) {
        panic!("{url}: {said}");
    }
}

#[track_caller]
fn assert_says(url: &str, words: &str) {
    let said = connect_with(url, &[]).expect_err(url);
    assert!(said.contains(words), "{url}: {said}");
}

/// `postgres://latchkey:PASSWORD@`, the host with the port, and the rest.
fn parts(database: &Database) -> (String, String, String) {
    let url = database.url();
    let (credentials, rest) = url.split_once('@').unwrap();
    let (host, name) = rest.split_once('/').unwrap();
    (format!("{credentials}@"), host.to_owned(), name.to_owned())
}

/// An instance with TLS whose certificate is for 127.0.0.1 and `::1`.
struct Tls {
    authority: Authority,
    postgres: Postgres,
    database: Database,
}

async fn tls() -> &'static Tls {
    static TLS: OnceCell<Tls> = OnceCell::const_new();
    TLS.get_or_init(async || {
        let authority = Authority::new("An authority of PostgreSQL");
        let certificate = authority.issue_for("IP:127.0.0.1,IP:::1");
        let postgres = Postgres::start_with_client_certificates(&certificate, &authority.bundle());
        let database = postgres.create_database().await;
        Tls { authority, postgres, database }
    })
    .await
}

#[tokio::test]
async fn of_several_hosts_the_one_that_accepts_writes_is_used() {
    let primary = Postgres::start();
    let database = primary.create_database().await;
    let standby = primary.start_standby();
    let silent = Link::to(primary.port());
    silent.hold_answers();
    let (credentials, host, name) = parts(&database);
    let standby = format!("127.0.0.1:{}", standby.port());
    let closed = format!("127.0.0.1:{}", latchkey_tests::process::free_port());
    let silent = format!("127.0.0.1:{}", silent.port());
    for hosts in [
        format!("{host},{standby}"),
        format!("{standby},{host}"),
        format!("{closed},{host}"),
        format!("{silent},{host}"),
        format!("{silent},{standby},{closed},{host}"),
    ] {
        assert_connects(&format!("{credentials}{hosts}/{name}?target_session_attrs=read-write"), &[]);
        assert_connects(&format!("{credentials}{hosts}/{name}"), &[]);
    }
    let (ports, hosts): (Vec<_>, Vec<_>) = [&standby, &host]
        .map(|host| host.split_once(':').map(|(host, port)| (port, host)).unwrap())
        .into_iter()
        .unzip();
    let query = format!("host={}&port={}&target_session_attrs=primary", hosts.join(","), ports.join(","));
    assert_connects(&format!("{credentials}/{name}?{query}"), &[]);
    assert_says(&format!("{credentials}{standby},{closed}/{name}"), "standby");
    assert_says(&format!("{credentials}{host},{standby}/{name}?target_session_attrs=standby"), "read-write");
    assert_says(&format!("{credentials}{host},{standby}/{name}?port=1,2,3"), "number of ports");
}

#[tokio::test]
async fn tls_is_verified_for_each_host() {
    let tls = tls().await;
    let other = Postgres::start_with_tls(&tls.authority.issue_for("DNS:other.example.test"));
    let untrusted = Postgres::start_with_tls(&Authority::new("Another authority").issue());
    let plain = Postgres::start();
    let (credentials, host, name) = parts(&tls.database);
    let bundle = tls.authority.bundle();
    let verified = format!("sslmode=verify-full&sslrootcert={}", bundle.display());
    let at = |postgres: &Postgres| format!("127.0.0.1:{}", postgres.port());
    for wrong in [&other, &untrusted, &plain] {
        let wrong = at(wrong);
        assert_connects(&format!("{credentials}{wrong},{host}/{name}?{verified}"), &[]);
        connect_with(&format!("{credentials}{wrong}/{name}?{verified}"), &[])
            .expect_err("an unverified host");
    }
    assert_says(&format!("{credentials}{}/{name}?{verified}", at(&other)), "another host name");
    assert_says(&format!("{credentials}{}/{name}?{verified}", at(&untrusted)), "not trusted");
    // With a root certificate `require` verifies the authority.
    let required = format!("sslmode=require&sslrootcert={}", bundle.display());
    assert_connects(&format!("{credentials}{host}/{name}?{required}"), &[]);
    assert_says(&format!("{credentials}{}/{name}?{required}", at(&untrusted)), "not trusted");
    // A bound channel needs a verified certificate.
    assert_says(
        &format!("{credentials}{host}/{name}?sslmode=require&channel_binding=require"),
        "not trusted",
    );
    let system = [("SSL_CERT_FILE", bundle.display().to_string())];
    for query in ["sslrootcert=system", "sslmode=verify-full&sslrootcert=system"] {
        let url = format!("{credentials}{host}/{name}?{query}");
        assert_connects(&url, &system);
        assert_says(&url, "not trusted");
    }
    assert_says(&format!("{credentials}{host}/{name}?sslmode=require&sslrootcert=system"), "verify-full");
    // Without a root certificate the authorities of the system are trusted, and with one no other.
    let url = format!("{credentials}{host}/{name}?sslmode=verify-full");
    assert_connects(&url, &system);
    assert_says(&url, "not trusted");
    let authority = Authority::new("Another authority");
    let another = authority.bundle();
    for mode in ["require", "verify-ca", "verify-full"] {
        let url = format!("{credentials}{host}/{name}?sslmode={mode}&sslrootcert={}", another.display());
        let said = connect_with(&url, &system).expect_err("an authority that the URL does not name");
        assert!(said.contains("not trusted"), "{said}");
    }
    let said =
        connect_with(&url, &[&system[..], &[("PGSSLROOTCERT", another.display().to_string())]].concat());
    assert!(
        said.is_err_and(|said| said.contains("not trusted")),
        "an authority that PGSSLROOTCERT does not name"
    );
    let port = tls.postgres.port();
    assert_connects(&format!("{credentials}[::1]:{port}/{name}?{verified}"), &[]);
    assert_connects(&format!("{credentials}/{name}?host=::1&port={port}&{verified}"), &[]);
}

/// What is compiled into the server would be trusted beside the root certificate of the URL.
#[test]
fn no_public_authority_is_compiled_into_the_server() {
    for name in ["ISRG Root X1", "DigiCert Global Root G2", "GTS Root R1"] {
        let mut grep = Command::new("grep");
        grep.args(["--count", "--text", "--fixed-strings", name]).arg(programs::latchkey_server());
        let count = String::from_utf8(run(&mut grep).stdout).unwrap();
        assert_eq!(count.trim(), "0", "the server contains the certificate authority {name}");
    }
}

#[tokio::test]
async fn certificate_files_are_used_and_named_when_they_are_unusable() {
    let tls = tls().await;
    tls.database.execute("CREATE ROLE certified SUPERUSER LOGIN PASSWORD 'NeverLogged'").await;
    let (_, host, name) = parts(&tls.database);
    let client = tls.authority.issue_for("DNS:client.example.test");
    let url = |query: String| format!("postgres://certified:NeverLogged@{host}/{name}?{query}");
    let root = tls.authority.bundle();
    let verified = format!("sslmode=verify-full&sslrootcert={}", root.display());
    let pair = format!("sslcert={}&sslkey={}", client.certificate.display(), client.key.display());
    assert_connects(&url(format!("{verified}&{pair}")), &[]);
    assert_connects(&url(format!("sslmode=require&{pair}")), &[]);
    connect_with(&url(verified.clone()), &[]).expect_err("no client certificate");
    let (certificate, key) = (client.certificate.display(), client.key.display());
    let text = root.with_file_name("text.pem");
    std::fs::write(&text, "no certificate").unwrap();
    let text = text.display();
    for (query, words) in [
        (
            format!("{verified}&sslcert=/nowhere/c.pem&sslkey={key}"),
            "`sslcert` /nowhere/c.pem cannot be read",
        ),
        (
            format!("{verified}&sslcert={certificate}&sslkey=/nowhere/k.pem"),
            "`sslkey` /nowhere/k.pem cannot be read",
        ),
        (
            "sslmode=verify-full&sslrootcert=/nowhere/ca.pem".to_owned(),
            "`sslrootcert` /nowhere/ca.pem cannot be read",
        ),
        (format!("{verified}&sslcert={text}&sslkey={key}"), "contains no certificate"),
        (format!("{verified}&sslcert={certificate}&sslkey={text}"), "contains no private key"),
        (format!("sslmode=verify-full&sslrootcert={text}"), "contains no certificate"),
        (format!("{verified}&sslcert={certificate}"), "give both"),
    ] {
        assert_says(&url(query), words);
    }
}

#[tokio::test]
async fn sockets_and_every_password_work() {
    let postgres = Postgres::start();
    let database = postgres.create_database().await;
    let (credentials, host, name) = parts(&database);
    let folder = postgres.socket_folder().display().to_string();
    let port = postgres.port();
    let encoded = folder.replace('/', "%2F");
    assert_connects(&format!("{credentials}{encoded}:{port}/{name}"), &[]);
    assert_connects(&format!("{credentials}/{name}?host={folder}&port={port}"), &[]);
    // libpq ignores sslmode for sockets.
    assert_connects(&format!("{credentials}{encoded}:{port}/{name}?sslmode=verify-full"), &[]);
    assert_says(&format!("{credentials}/{name}?host=/nowhere"), "socket");

    let password: String = (' '..='~').collect();
    let quoted = password.replace('\'', "''");
    let create = format!("CREATE ROLE \"odd@user:/?#\" SUPERUSER LOGIN PASSWORD '{quoted}'");
    let mut connection = database.connect().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    // The password file of libpq.
    let file = postgres.socket_folder().join("pgpass");
    std::fs::write(&file, format!("127.0.0.1:{port}:{name}:latchkey:{}\n", database.password())).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let passfile = [("PGPASSFILE", file.display().to_string())];
    assert_connects(&format!("postgres://latchkey@{host}/{name}"), &passfile);
    assert_connects(
        &format!("postgres://latchkey@{host}/{name}"),
        &[("PGPASSWORD", database.password().to_owned())],
    );

    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
    let (user, password) = (encode("odd@user:/?#"), encode(&password));
    assert_connects(&format!("postgres://{user}:{password}@{host}/{name}"), &[]);
    assert_connects(&format!("postgresql://{host}/{name}?user={user}&password={password}"), &[]);
    assert_connects(
        &format!("postgres:///?host=127.0.0.1&port={port}&dbname={name}&user={user}&password={password}"),
        &[],
    );
}

#[tokio::test]
async fn parameters_of_managed_services_work_or_are_refused() {
    let database = Postgres::shared().create_database().await;
    let url = database.url();
    for query in [
        "sslmode=prefer&connect_timeout=10&application_name=x&keepalives_idle=30",
        "options=-c%20search_path%3Dpublic",
        "gssencmode=disable&target_session_attrs=any&load_balance_hosts=disable",
        "client_encoding=UTF8&fallback_application_name=y",
        "pgbouncer=true",
        "pgbouncer=false",
    ] {
        assert_connects(&format!("{url}?{query}"), &[]);
    }
    for (query, words) in [
        ("foo=bar", "parameter `foo` is unknown"),
        ("sslmode=no-verify", "sslmode"),
        ("service=main", "`service` is not supported"),
        ("sslcrl=/crl", "`sslcrl` is not supported"),
        ("require_auth=scram-sha-256", "`require_auth` is not supported"),
        ("sslmode=require", "offers no TLS"),
    ] {
        assert_says(&format!("{url}?{query}"), words);
    }
}

#[tokio::test]
async fn a_server_whose_url_has_a_pooler_hint_serves() {
    let app = App::setup().pgbouncer("pool_mode = transaction").start().await;
    let mut variables = app.variables.clone();
    let url = format!("{}?pgbouncer=true&sslmode=prefer", variables["DATABASE_URL"]);
    variables.insert("DATABASE_URL".to_owned(), url);
    let server = latchkey_tests::server::Server::start(&variables).await;
    server.wait_until_ready().await;
    let (_, session) = app.new_session("hint").await;
    app.me(&session.access).await.ok(200);
}

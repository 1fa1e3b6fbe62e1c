use super::*;

fn parse(rest: &str) -> PostgresUrl {
    PostgresUrl::parse(&format!("postgres://{rest}")).unwrap_or_else(|error| panic!("{rest}: {error}"))
}

fn refusal(rest: &str) -> String {
    PostgresUrl::parse(&format!("postgres://{rest}")).expect_err(rest)
}

fn hosts(rest: &str) -> Vec<String> {
    let show = |host: PostgresHost| match host.address {
        PostgresAddress::Tcp(name) => format!("{name} {}", host.port),
        PostgresAddress::Socket(folder) => format!("unix {} {}", folder.display(), host.port),
    };
    parse(rest).hosts.into_iter().map(show).collect()
}

#[test]
fn hosts_and_ports_are_read_as_in_libpq() {
    for (rest, expected) in [
        ("u:p@h/d", &["h 5432"][..]),
        ("h", &["h 5432"]),
        ("h?sslmode=require", &["h 5432"]),
        ("u:p@h1:5433,h2:5434/d", &["h1 5433", "h2 5434"]),
        ("u:p@h1,h2:5434,h3/d", &["h1 5432", "h2 5434", "h3 5432"]),
        ("u:p@[::1]:5433/d", &["::1 5433"]),
        ("u:p@[::1],10.0.0.1/d", &["::1 5432", "10.0.0.1 5432"]),
        ("/d?host=h1,h2&port=5433,5434", &["h1 5433", "h2 5434"]),
        ("/d?host=h1,h2&port=5433", &["h1 5433", "h2 5433"]),
        ("/d?host=::1", &["::1 5432"]),
        ("u@ignored:1/d?host=h&port=2", &["h 2"]),
        ("h/d?hostaddr=10.0.0.1", &["10.0.0.1 5432"]),
        ("u:p@%2Fvar%2Frun%2Fpostgresql/d", &["unix /var/run/postgresql 5432"]),
        ("u:p@%2Fvar%2Frun%2Fpostgresql:5433/d", &["unix /var/run/postgresql 5433"]),
        ("/d?host=/tmp", &["unix /tmp 5432"]),
        ("/d", &[]),
        ("", &[]),
    ] {
        assert_eq!(hosts(rest), expected, "{rest}");
    }
    for bad in [
        "h:x/d",
        "h:0/d",
        "h:65536/d",
        "[::1/d",
        "[::1]x/d",
        "h1,,h2/d",
        "h h/d",
        "h/d?port=1,2",
        "h/d?hostaddr=x",
    ] {
        refusal(bad);
    }
}

#[test]
fn a_password_may_contain_every_character() {
    let password: String = (1..=0x7e_u8).map(char::from).chain("äß€😀".chars()).collect();
    let encoded = password.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
    for rest in [format!("u:{encoded}@h/d"), format!("u@h/d?password={encoded}")] {
        let url = parse(&rest);
        assert_eq!(url.password.unwrap().expose(), password);
        assert_eq!((url.username.unwrap(), url.database.unwrap()), ("u".to_owned(), "d".to_owned()));
    }
    for plain in ["p", "a:b", "a@b", "a#b", "a%b", "a+b", "a?b", "a,b", "a&b=c", "a[b]", "!$'()*;=~-._"] {
        assert_eq!(parse(&format!("u:{plain}@h/d")).password.unwrap().expose(), plain);
    }
    assert_eq!(parse("u%40tenant:p@h/d%2Fe").username.unwrap(), "u@tenant");
    assert_eq!(parse("u%40tenant:p@h/d%2Fe").database.unwrap(), "d/e");
    assert_eq!(parse("u@server:p@h/d").username.unwrap(), "u@server");
    for bad in [
        "u:NeverPrinted/x@h/d",
        "u:p%00NeverPrinted@h/d",
        "u:p%ffNeverPrinted@h/d",
        "u:1234/d?NeverPrinted=x@h/d",
    ] {
        assert!(!refusal(bad).contains("NeverPrinted"), "{bad}: {}", refusal(bad));
    }
}

#[test]
fn tls_is_never_weaker_than_the_url_demands() {
    use SslMode::{Disable, Prefer, Require, VerifyCa, VerifyFull};
    for (query, mode) in [
        ("", None),
        ("?sslmode=disable", Some(Disable)),
        ("?sslmode=allow", Some(Prefer)),
        ("?sslmode=prefer", Some(Prefer)),
        ("?sslmode=require", Some(Require)),
        ("?ssl=true", Some(Require)),
        ("?sslmode=verify-ca", Some(VerifyCa)),
        ("?sslmode=verify-full", Some(VerifyFull)),
        ("?sslrootcert=system", Some(VerifyFull)),
        ("?sslmode=verify-full&sslrootcert=system", Some(VerifyFull)),
        ("?sslmode=require&sslrootcert=/ca.pem", Some(VerifyCa)),
        ("?sslmode=require&channel_binding=require", Some(VerifyFull)),
        ("?channel_binding=prefer", None),
    ] {
        assert_eq!(parse(&format!("u:p@h1,h2/d{query}")).ssl_mode, mode, "{query}");
    }
    for bad in [
        "sslmode=no-verify",
        "sslmode=require&sslrootcert=system",
        "sslmode=disable&channel_binding=require",
        "sslcert=/c",
        "sslkey=/k",
        "sslcertmode=require",
        "sslcrl=/c",
        "sslpassword=x",
        "sslnegotiation=direct",
        "sslsni=0",
        "ssl_min_protocol_version=TLSv1.3",
        "ssl_max_protocol_version=TLSv1.2",
        "require_auth=scram-sha-256",
        "requirepeer=postgres",
        "gssencmode=require",
        "sslmode=verify-full&hostaddr=10.0.0.1",
    ] {
        refusal(&format!("u:p@h/d?{bad}"));
    }
}

#[test]
fn parameters_are_supported_without_effect_or_refused_with_a_reason() {
    let url =
        parse("u:p@h/d?connect_timeout=7&options=-c%20search_path%3Da&options[work_mem]=1 MB&pgbouncer=true");
    assert_eq!(url.connect_timeout, Some(Duration::from_secs(7)));
    assert_eq!(url.options.as_deref(), Some("-c search_path=a -c work_mem=1\\ MB"));
    assert_eq!(url.pooler, Some(true));
    assert_eq!(parse("h/d?connect_timeout=0").connect_timeout, None);
    let plain = parse("u:p@h/d");
    for query in [
        "target_session_attrs=read-write",
        "target_session_attrs=primary",
        "target_session_attrs=any",
        "application_name=x",
        "keepalives_idle=30",
        "client_encoding=UTF8",
        "gssencmode=disable",
        "load_balance_hosts=random",
        "",
    ] {
        assert_eq!(parse(&format!("u:p@h/d?{query}")), plain, "{query}");
    }
    for (query, word) in [
        ("target_session_attrs=read-only", "read-write"),
        ("target_session_attrs=prefer-standby", "read-write"),
        ("target_session_attrs=x", "target_session_attrs"),
        ("connect_timeout=soon", "connect_timeout"),
        ("client_encoding=LATIN1", "client_encoding"),
        ("replication=database", "replication"),
        ("service=x", "service"),
        ("schema=public", "search_path"),
        ("foo=bar", "`foo` is unknown"),
        ("foo", "without a value"),
    ] {
        let refusal = refusal(&format!("u:p@h/d?{query}"));
        assert!(refusal.contains(word) && refusal.lines().count() == 1, "{query}: {refusal}");
    }
}

#[test]
fn other_forms_are_refused() {
    for bad in ["mysql://h/d", "host=h dbname=d", "jdbc:postgresql://h/d", "postgres:h/d", ""] {
        let refusal = PostgresUrl::parse(bad).expect_err(bad);
        assert!(refusal.contains("postgres://"), "{refusal}");
    }
}

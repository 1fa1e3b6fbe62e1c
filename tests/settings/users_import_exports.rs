//! `latchkey-server users import --format SYSTEM`: the export files of other systems. `fixtures/README.md` describes how
//! each file was generated; all contain the same users.

use std::io::Write as _;
use std::process::{Command, Stdio};

use latchkey_tests::app::App;

use crate::users_import::{Import, only_database, stderr, stdout};

const PASSWORD: &str = "correct horse";
const STORED: &str = "SELECT password_hash FROM users WHERE email = $1";

struct Export {
    file: &'static str,
    text: &'static str,
    options: &'static [&'static str],
    /// The files that the options name, and their content.
    beside: &'static [(&'static str, &'static str)],
    /// The number of accounts without an address.
    refused: u64,
}

const HASH_CONFIG: (&str, &str) = ("hash_config.txt", include_str!("fixtures/firebase_hash_config.txt"));

const EXPORTS: [Export; 10] = [
    Export {
        file: "realm-export.json",
        text: include_str!("fixtures/keycloak_realm.json"),
        options: &["--format", "keycloak"],
        beside: &[],
        refused: 1,
    },
    Export {
        file: "shop-users-0.json",
        text: include_str!("fixtures/keycloak_users.json"),
        options: &["--format", "keycloak"],
        beside: &[],
        refused: 1,
    },
    Export {
        file: "users.ndjson",
        text: include_str!("fixtures/auth0_users.ndjson"),
        options: &["--format", "auth0", "--password-hashes", "hashes.ndjson"],
        beside: &[("hashes.ndjson", include_str!("fixtures/auth0_password_hashes.ndjson"))],
        refused: 0,
    },
    Export {
        file: "import.json",
        text: include_str!("fixtures/auth0_import.json"),
        options: &["--format", "auth0"],
        beside: &[],
        refused: 0,
    },
    Export {
        file: "users.json",
        text: include_str!("fixtures/firebase.json"),
        options: &["--format", "firebase", "--hash-config", "hash_config.txt"],
        beside: &[HASH_CONFIG],
        refused: 1,
    },
    Export {
        file: "users.csv",
        text: include_str!("fixtures/firebase.csv"),
        options: &["--format", "firebase", "--hash-config", "hash_config.txt"],
        beside: &[HASH_CONFIG],
        refused: 1,
    },
    Export {
        file: "users.csv",
        text: include_str!("fixtures/supabase.csv"),
        options: &["--format", "supabase"],
        beside: &[],
        refused: 0,
    },
    Export {
        file: "users.json",
        text: include_str!("fixtures/supabase.json"),
        options: &["--format", "supabase"],
        beside: &[],
        refused: 0,
    },
    Export {
        file: "dump.json",
        text: include_str!("fixtures/django.json"),
        options: &["--format", "django", "--assume-verified"],
        beside: &[],
        refused: 1,
    },
    // `dumpdata --format jsonl`
    Export {
        file: "dump.jsonl",
        text: include_str!("fixtures/django.jsonl"),
        options: &["--format", "django", "--assume-verified"],
        beside: &[],
        refused: 1,
    },
];

fn options(import: &Import, export: &Export) -> Vec<String> {
    let path = |option: &&str| {
        let file = export.beside.iter().find(|(name, _)| name == option);
        file.map_or((*option).to_owned(), |(name, text)| {
            std::fs::write(import.path(name), text).unwrap();
            import.path(name)
        })
    };
    export.options.iter().map(path).collect()
}

#[tokio::test]
async fn each_export_is_imported_and_its_users_log_in_with_their_addresses() {
    for export in EXPORTS {
        let import = Import::with(App::start().await);
        let options = options(&import, &export);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();

        // A dry run reports the same as the import and writes nothing.
        let dry = import.run(export.file, export.text, &[&options[..], &["--dry-run"]].concat());
        assert_eq!(dry.status.success(), export.refused == 0, "{}", stderr(&dry));
        let (tried, shown) = (stdout(&dry), stderr(&dry));
        assert!(tried.contains("would be created") && tried.contains("nothing was written"), "{tried}");
        assert_eq!(import.count("SELECT count(*) FROM users WHERE email LIKE $1", "%@example.test").await, 0);

        let output = import.run(export.file, export.text, &options);
        assert_eq!(stderr(&output), shown, "{}", export.file);
        let counts = |text: &str| text.split(": ").nth(1).unwrap().lines().next().unwrap().to_owned();
        assert_eq!(counts(&stdout(&output)), counts(&tried).replace("would be created", "created"));
        let refused = format!("{} records refused", export.refused);
        assert!(stdout(&output).contains(&refused), "{}", stdout(&output));

        let app = &import.app;
        for address in ["ada@example.test", "bob@example.test"] {
            app.post_login(address, "correct horsf").await.problem(401);
            let session = app.log_in_as(address, PASSWORD).await;
            assert_eq!(app.me(&session.access).await.ok(200)["email"], address, "{}", export.file);
            let stored = app.database.text(STORED, address).await;
            assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}: {stored}", export.file);
            app.log_in_as(address, PASSWORD).await;
        }
        // Eve has no password; Old is deactivated.
        app.post_login("eve@example.test", PASSWORD).await.problem(401);
        app.post_login("old@example.test", PASSWORD).await.problem(403);
        let again = import.run(export.file, export.text, &options);
        assert!(stdout(&again).contains(": 0 accounts created"), "{}", stdout(&again));
    }
}

#[tokio::test]
async fn names_locales_bans_and_superusers_are_imported() {
    let import = Import::with(App::start().await);
    import.run("realm.json", EXPORTS[0].text, EXPORTS[0].options);
    let text = async |column: &'static str, name| import.app.database.text(column, name).await;
    assert_eq!(text("SELECT name FROM users WHERE username = $1", "ada").await, "Ada Lovelace");
    assert_eq!(text("SELECT locale FROM users WHERE username = $1", "ada").await, "de");
    let service = "SELECT count(*) FROM users WHERE username = $1 AND is_superuser";
    assert_eq!(import.count(service, "service-account-shop").await, 0);
    let unconfirmed = "SELECT count(*) FROM users WHERE email = $1 AND email_verified_at IS NULL";

    let import = Import::with(App::start().await);
    import.run("users.csv", EXPORTS[6].text, EXPORTS[6].options);
    let text = async |column: &'static str, name| import.app.database.text(column, name).await;
    let name = "SELECT name FROM users WHERE email = $1";
    assert_eq!(text(name, "ada@example.test").await, "Ada \"Countess\", Lovelace");
    assert_eq!(import.count(unconfirmed, "new@example.test").await, 1);
    assert_eq!(import.count("SELECT count(*) FROM users WHERE email = $1", "gone@example.test").await, 0);

    let import = Import::with(App::start().await);
    let output = import.run("dump.json", EXPORTS[8].text, EXPORTS[8].options);
    assert!(stdout(&output).contains("1 of them are superusers"), "{}", stdout(&output));
    assert_eq!(
        import.count("SELECT count(*) FROM users WHERE is_superuser AND username = $1", "ada").await,
        1
    );
}

#[tokio::test]
async fn a_custom_user_model_of_django_is_imported() {
    let import = Import::with(App::start().await);
    let text = include_str!("fixtures/django_custom_user.json");
    let output = import.run("dump.json", text, &["--format", "django", "--assume-verified"]);
    assert!(stdout(&output).contains("1 accounts created"), "{}", stdout(&output));
    import.app.log_in_as("grace@example.test", PASSWORD).await;
    let name = "SELECT name FROM users WHERE email = $1";
    assert_eq!(import.app.database.text(name, "grace@example.test").await, "Grace Hopper");
}

#[tokio::test]
async fn an_export_of_auth0s_password_hashes_is_imported_without_an_export_of_users() {
    let import = Import::with(App::start().await);
    let text = include_str!("fixtures/auth0_password_hashes.ndjson");
    let output = import.run("hashes.ndjson", text, &["--format", "auth0", "--assume-verified"]);
    assert!(output.status.success(), "{}", stderr(&output));
    import.app.log_in_as("ada@example.test", PASSWORD).await;
    import.app.log_in_as("bob@example.test", PASSWORD).await;
}

#[tokio::test]
async fn the_parameters_of_firebase_may_precede_the_accounts() {
    let (_, config) = HASH_CONFIG;
    for export in [&EXPORTS[4], &EXPORTS[5]] {
        let import = Import::with(App::start().await);
        let text = format!("{config}{}", export.text);
        let output = import.run(export.file, &text, &["--format", "firebase"]);
        assert!(stdout(&output).contains("4 accounts created"), "{}", stderr(&output));
        import.app.log_in_as("ada@example.test", PASSWORD).await;
        let damaged = text.replace("Bw==", "NeverLogged!");
        let output = import.run(export.file, &damaged, &["--format", "firebase"]);
        assert!(stderr(&output).contains("base64_salt_separator"), "{}", stderr(&output));
    }
}

#[tokio::test]
async fn missing_parameters_and_invalid_exports_are_reported() {
    let import = Import::with(App::start().await);
    let firebase = import.run("users.json", EXPORTS[4].text, &["--format", "firebase"]);
    assert!(
        stderr(&firebase).contains("record 1: has a password hash, but its parameters"),
        "{}",
        stderr(&firebase)
    );
    let (name, _) = HASH_CONFIG;
    for config in ["", "algorithm: BCRYPT", "base64_signer_key: NeverLogged!, rounds: 8"] {
        std::fs::write(import.path(name), config).unwrap();
        let options = ["--format", "firebase", "--hash-config", &import.path(name)];
        let output = import.run("users.json", EXPORTS[4].text, &options);
        assert!(!output.status.success());
        assert!(stderr(&output).contains("password hash parameters"), "{}", stderr(&output));
    }
    let realm = "{\"realm\":\"shop\",\"clients\":[]}";
    let without_users = import.run("realm.json", realm, &["--format", "keycloak"]);
    assert!(
        stderr(&without_users).contains("record 1: is a realm without users"),
        "{}",
        stderr(&without_users)
    );
    let misplaced = import.run("users.json", "[]", &["--format", "django", "--hash-config", "x"]);
    assert!(stderr(&misplaced).contains("--hash-config belongs to --format firebase"));
    for system in ["keycloak", "auth0", "firebase", "supabase", "django"] {
        for broken in ["[{", "{\"users\":[{}", "[1,2", "{\"a\":\"NeverLogged"] {
            let output = import.run("users.json", broken, &["--format", system]);
            assert!(!output.status.success(), "{system} {broken}");
            assert!(stderr(&output).contains("JSON"), "{system} {broken}: {}", stderr(&output));
        }
        let empty = import.run("users.json", "", &["--format", system]);
        assert!(stdout(&empty).starts_with("0 records read"), "{}", stdout(&empty));
        let strange = import.run(
            "users.json",
            "[7, {\"fields\":{\"password\":7,\"email\":7},\"model\":\"x\"}]",
            &["--format", system],
        );
        assert_eq!(strange.status.code(), Some(1), "{system}");
    }
}

/// An export of 64 MB on one line.
#[tokio::test]
async fn a_large_export_is_read_in_bounded_memory() {
    const USERS: usize = 32_000;
    let import = Import::with(App::start().await);
    let mut command = Command::new(latchkey_tests::programs::latchkey_server());
    command.args(["users", "import", "-", "--format", "keycloak", "--dry-run"]);
    command.env_clear().envs(only_database(&import.app));
    let mut running =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = std::io::BufWriter::new(running.stdin.take().unwrap());
    let note = "x".repeat(2_000);
    write!(input, "{{\"realm\":\"large\",\"users\":[").unwrap();
    for number in 0..USERS {
        let comma = if number == 0 { "" } else { "," };
        let names = format!("\"username\":\"user-{number}\",\"email\":\"user-{number}@example.test\"");
        write!(input, "{comma}{{{names},\"attributes\":{{\"note\":[\"{note}\"]}}}}").unwrap();
    }
    input.flush().unwrap();
    // The process has read everything except the content of the pipe.
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    write!(input, "]}}").unwrap();
    drop(input);
    let output = running.wait_with_output().unwrap();
    assert!(stdout(&output).contains("32000 accounts would be created"), "{}", stderr(&output));
    assert!(peak < USERS * 2_000 / 1024, "{peak} KiB");
}

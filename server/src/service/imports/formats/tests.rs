use std::io::Write as _;

use latchkey_exports::join_auth0;
use proptest::prelude::*;

use super::*;

const FIREBASE_CONFIG: &str = include_str!("../../../../../tests/settings/fixtures/firebase_hash_config.txt");
const FILES: [&[u8]; 9] = [
    include_bytes!("../../../../../tests/settings/fixtures/keycloak_realm.json"),
    include_bytes!("../../../../../tests/settings/fixtures/auth0_users.ndjson"),
    include_bytes!("../../../../../tests/settings/fixtures/auth0_password_hashes.ndjson"),
    include_bytes!("../../../../../tests/settings/fixtures/auth0_import.json"),
    include_bytes!("../../../../../tests/settings/fixtures/firebase.json"),
    include_bytes!("../../../../../tests/settings/fixtures/firebase.csv"),
    include_bytes!("../../../../../tests/settings/fixtures/supabase.csv"),
    include_bytes!("../../../../../tests/settings/fixtures/supabase.json"),
    include_bytes!("../../../../../tests/settings/fixtures/django.jsonl"),
];

fn formats() -> [ExportFormat; 5] {
    [
        ExportFormat::Keycloak,
        ExportFormat::Auth0 { passwords: None },
        ExportFormat::Firebase { hashes: HashConfig::parse(FIREBASE_CONFIG).ok() },
        ExportFormat::Supabase { now: DateTime::UNIX_EPOCH },
        ExportFormat::Django,
    ]
}

#[test]
fn firebases_parameters_are_parsed_and_never_printed() {
    let json =
        r#"{"algorithm":"SCRYPT","signerKey":"c2VjcmV0","saltSeparator":"Bw","rounds":8,"memoryCost":14}"#;
    assert_eq!(
        HashConfig::parse(json).err().map(|error| error.to_string()).as_deref(),
        Some("base64_salt_separator is missing or not valid")
    );
    let config = HashConfig::parse(&json.replace("\"Bw\"", "\"Bw==\"")).unwrap();
    assert_eq!(format!("{config:?}"), "[redacted]");
    assert!(HashConfig::parse(FIREBASE_CONFIG).is_ok());
    for broken in ["", "rounds: x", &FIREBASE_CONFIG.replace("SCRYPT", "BCRYPT")] {
        assert!(HashConfig::parse(broken).is_err(), "{broken}");
    }
}

/// The plugin joins the two files of Auth0, because a pod only has its standard input.
#[test]
fn the_joined_exports_of_auth0_are_the_accounts_of_the_two_files() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(FILES[2]).unwrap();
    let open = || PasswordFile::open(file.path()).unwrap();
    let read = |passwords, bytes: &[u8]| -> Vec<ReadRecord> {
        read_export(ExportFormat::Auth0 { passwords }, bytes).unwrap().map(Result::unwrap).collect()
    };
    let mut joined = Vec::new();
    join_auth0(FILES[1], &mut open(), &mut joined).unwrap();
    let records = read(Some(open()), FILES[1]);
    assert_eq!(read(None, &joined), records);
    let hashes = records.iter().filter_map(|read| read.record.as_ref().ok()?.password_hash.as_ref());
    assert_eq!(hashes.count(), 3);
}

proptest! {
    #[test]
    fn arbitrary_changes_of_an_export_do_not_panic(
        file in prop::sample::select(FILES.to_vec()),
        at in any::<prop::sample::Index>(),
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20),
            "(\\{|\\}|\\[|\\]|\"|,|:|null|true|0){0,8}".prop_map(String::into_bytes),
        ],
        cut in 0_usize..200,
    ) {
        let mut changed = file.to_vec();
        let from = at.index(changed.len());
        changed.splice(from..(from + cut).min(file.len()), bytes);
        for format in formats() {
            for read in read_export(format, &changed[..]).into_iter().flatten().flatten() {
                let _ = read.record.map(ImportRecord::check);
            }
        }
    }
}

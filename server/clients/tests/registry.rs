//! What the operator renders, the server reads unchanged; everything else is refused without a panic, and without a digest in
//! the message.

use chrono::DateTime;
use latchkey_clients::{
    Client, ClientType, Credential, CredentialKind, FORMAT, GrantType, MAX_CLIENTS, Registry, RegistryError,
    SecretDigest, rules,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn client() -> Client {
    Client {
        client_id: "orders".to_owned(),
        client_type: ClientType::Confidential,
        grant_types: vec![GrantType::ClientCredentials],
        scopes: vec!["orders:read".to_owned()],
        audiences: vec!["https://api.example.com".to_owned()],
        allowed_groups: Vec::new(),
        access_token_ttl: 600,
        refresh_token_ttl: 28_800,
        credentials: vec![secret(1)],
    }
}

fn secret(id: u128) -> Credential {
    let sha256 = SecretDigest::try_from(DIGEST.to_owned()).expect("a digest");
    Credential { id: Uuid::from_u128(id), expires_at: None, kind: CredentialKind::Secret { sha256 } }
}

fn service_account(id: u128) -> Credential {
    let kind = CredentialKind::ServiceAccount { namespace: "shop".to_owned(), name: "orders".to_owned() };
    Credential { kind, ..secret(id) }
}

/// The reason for which a registry with this one client is refused.
fn fault(change: impl FnOnce(&mut Client)) -> Option<String> {
    let mut changed = client();
    change(&mut changed);
    Registry::new(1, vec![changed]).err().map(|error| error.to_string())
}

#[track_caller]
fn assert_fault(expected: &str, change: impl FnOnce(&mut Client)) {
    let found = fault(change).unwrap_or_default();
    assert!(found.contains(expected), "{found:?} does not say {expected:?}");
}

#[test]
fn each_rule_of_a_client_is_enforced() {
    assert_eq!(fault(|_| ()), None);
    for id in ["", " ", "a b", "zoë", "a\n", "123", "latchkey", &"x".repeat(rules::MAX_CLIENT_ID + 1)] {
        assert!(fault(|client| id.clone_into(&mut client.client_id)).is_some(), "{id:?}");
    }
    for id in ["a", "123a", "https://app.example/id", &"x".repeat(rules::MAX_CLIENT_ID)] {
        assert_eq!(fault(|client| id.clone_into(&mut client.client_id)), None, "{id:?}");
    }
    for scope in ["", "a b", "a\"", "a\\", "ä", "a\n", &"x".repeat(rules::MAX_SCOPE + 1)] {
        assert_fault("has a scope that", |client| client.scopes.push(scope.to_owned()));
    }
    for audience in ["", "https://a.example/#x", "a b", "ä", &"x".repeat(rules::MAX_AUDIENCE + 1)] {
        assert_fault("has an audience that", |client| client.audiences.push(audience.to_owned()));
    }
    assert_fault("repeats", |client| client.scopes.push("orders:read".to_owned()));
    assert_fault("repeats", |client| client.audiences.push("https://api.example.com".to_owned()));
    assert_fault("repeats", |client| client.grant_types.push(GrantType::ClientCredentials));
    assert_fault("scopes", |client| client.scopes = (0..=rules::MAX_SCOPES).map(|n| n.to_string()).collect());
    assert_fault("audiences", |client| {
        client.audiences = (0..=rules::MAX_AUDIENCES).map(|n| n.to_string()).collect();
    });
    for seconds in [0, rules::MIN_ACCESS_TOKEN_TTL - 1, rules::MAX_ACCESS_TOKEN_TTL + 1, u32::MAX] {
        assert_fault("access tokens", |client| client.access_token_ttl = seconds);
    }
    for seconds in [0, rules::MIN_ACCESS_TOKEN_TTL - 1, rules::MAX_REFRESH_TOKEN_TTL + 1, u32::MAX] {
        assert_fault("refresh tokens", |client| client.refresh_token_ttl = seconds);
    }
    assert_fault("has a credential", |client| client.credentials.push(service_account(2)));
    assert_fault("has a credential", |client| client.client_type = ClientType::Workload);
    assert_fault("has a credential", |client| {
        client.client_type = ClientType::Public;
        client.grant_types = vec![GrantType::RefreshToken];
    });
    for grant in [GrantType::ClientCredentials, GrantType::TokenExchange] {
        assert_fault("is public", |client| {
            client.client_type = ClientType::Public;
            client.credentials.clear();
            client.grant_types = vec![GrantType::RefreshToken, grant];
        });
    }
}

#[test]
fn the_ids_of_clients_and_credentials_are_unique() {
    let other = |id: &str, credential| Client {
        client_id: id.to_owned(),
        credentials: vec![secret(credential)],
        ..client()
    };
    assert!(Registry::new(1, vec![client(), other("billing", 2)]).is_ok());
    for second in [other("orders", 2), other("billing", 1)] {
        let duplicate = RegistryError::Duplicate(second.client_id.clone());
        assert_eq!(Registry::new(1, vec![client(), second]), Err(duplicate));
    }
    let twice = Client { credentials: vec![secret(1), secret(1)], ..client() };
    assert_eq!(Registry::new(1, vec![twice]), Err(RegistryError::Duplicate("orders".to_owned())));
}

#[test]
fn the_number_of_clients_and_the_size_are_bounded() {
    let clients = |count: usize| {
        // As while all secrets are rotated. Digests do not compress.
        let random = || *Uuid::new_v4().as_bytes();
        let random_secret = || {
            let mut bytes = [0; 32];
            bytes[..16].copy_from_slice(&random());
            bytes[16..].copy_from_slice(&random());
            let kind = CredentialKind::Secret { sha256: SecretDigest::new(bytes) };
            Credential { id: Uuid::new_v4(), expires_at: DateTime::from_timestamp(1_800_000_000, 0), kind }
        };
        let clients = (0..count).map(|number| Client {
            client_id: format!("client-{number}"),
            credentials: vec![random_secret(), random_secret()],
            ..client()
        });
        clients.collect::<Vec<_>>()
    };
    assert_eq!(Registry::new(1, clients(MAX_CLIENTS + 1)), Err(RegistryError::TooMany));
    let largest = Registry::new(1, clients(MAX_CLIENTS)).expect("valid");
    let compressed = largest.to_gzip();
    assert!(compressed.len() < 1_000_000, "a Secret has at most 1 MiB: {}", compressed.len());
    assert_eq!(Registry::parse(&compressed).expect("valid").clients().len(), MAX_CLIENTS);

    let spaces = vec![b' '; 16 * 1024 * 1024 + 1];
    assert_eq!(Registry::parse(&spaces), Err(RegistryError::Damaged));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &spaces).expect("written to memory");
    assert_eq!(Registry::parse(&encoder.finish().expect("finished")), Err(RegistryError::Damaged));
}

#[test]
fn an_unknown_format_is_refused_whatever_else_it_contains() {
    let text = json!({ "format": FORMAT + 1, "clients": "of the future" }).to_string();
    assert_eq!(Registry::parse(text.as_bytes()), Err(RegistryError::Format(FORMAT + 1)));
}

#[test]
fn neither_an_error_nor_debug_output_contains_a_digest() {
    let registry = Registry::new(1, vec![client()]).expect("valid");
    assert!(registry.to_json().contains(DIGEST));
    assert!(!format!("{registry:?}").contains("9f86"));
    let mut changed: Value = serde_json::from_str(&registry.to_json()).expect("JSON");
    changed["clients"][0]["credentials"][0]["sha256"] = json!(format!("{DIGEST}0"));
    let error = Registry::parse(changed.to_string().as_bytes()).expect_err("a digest that is too long");
    assert!(!error.to_string().contains("9f86") && !format!("{error:?}").contains("9f86"), "{error:?}");
}

fn any_client() -> impl Strategy<Value = Client> {
    let grants = vec![GrantType::ClientCredentials, GrantType::RefreshToken, GrantType::Password];
    let names =
        |pattern| prop::collection::btree_set(pattern, 0..4).prop_map(|set| set.into_iter().collect());
    let credentials =
        prop::collection::vec((any::<[u8; 32]>(), prop::option::of(0_i64..4_000_000_000)), 0..3);
    (
        "[a-zA-Z!-/][!-~]{0,30}",
        prop::sample::subsequence(grants, 0..=3),
        names("[!#-\\[\\]-~]{1,20}"),
        names("[$-~]{1,40}"),
        prop::collection::vec("\\PC{0,10}", 0..3),
        (rules::MIN_ACCESS_TOKEN_TTL..=rules::MAX_ACCESS_TOKEN_TTL, 60..=rules::MAX_REFRESH_TOKEN_TTL),
        credentials,
    )
        .prop_map(
            |(client_id, grant_types, scopes, audiences, allowed_groups, lifetimes, credentials)| Client {
                client_id,
                client_type: ClientType::Confidential,
                grant_types,
                scopes,
                audiences,
                allowed_groups,
                access_token_ttl: lifetimes.0,
                refresh_token_ttl: lifetimes.1,
                credentials: credentials
                    .into_iter()
                    .map(|(bytes, expires_at)| Credential {
                        id: Uuid::new_v4(),
                        expires_at: expires_at.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
                        kind: CredentialKind::Secret { sha256: SecretDigest::new(bytes) },
                    })
                    .collect(),
            },
        )
}

proptest! {
    #[test]
    fn a_rendered_registry_is_parsed_unchanged(serial in any::<u64>(), clients in prop::collection::vec(any_client(), 0..5)) {
        match Registry::new(serial, clients) {
            Ok(registry) => {
                let again = [Registry::parse(registry.to_json().as_bytes()), Registry::parse(&registry.to_gzip())];
                prop_assert_eq!(registry.to_gzip(), registry.to_gzip());
                prop_assert_eq!(again, [Ok(registry.clone()), Ok(registry)]);
            }
            // Two of the arbitrary clients may share an id, or one may be the reserved one.
            Err(RegistryError::Duplicate(_) | RegistryError::Client { .. }) => {}
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Registry::parse(&bytes).is_err());
    }

    #[test]
    fn a_compressed_registry_with_a_changed_byte_is_refused_or_the_same(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let registry = Registry::new(7, vec![client()]).expect("valid");
        let mut bytes = registry.to_gzip();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        // The header has a time and a name of the system, which mean nothing.
        if let Ok(parsed) = Registry::parse(&bytes) {
            prop_assert_eq!(parsed, registry);
        }
    }

    #[test]
    fn a_truncated_registry_is_refused(at in any::<prop::sample::Index>()) {
        let bytes = Registry::new(7, vec![client()]).expect("valid").to_gzip();
        prop_assert!(Registry::parse(&bytes[..at.index(bytes.len())]).is_err());
    }
}

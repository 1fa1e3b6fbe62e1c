//! What the operator renders, the server reads unchanged, and nothing makes the parser panic.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use latchkey_clients::{
    ClaimFormat, ClaimValue, Client, ClientType, Credential, CredentialKind, GrantType, GroupClaim,
    PublicKey, Registry, RegistryError, SecretDigest, rules,
};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

fn client() -> Client {
    let kind = CredentialKind::Secret { sha256: SecretDigest::new([7; 32]) };
    let credential = Credential { id: Uuid::from_u128(1), expires_at: None, kind };
    Client {
        client_id: "orders".to_owned(),
        client_type: ClientType::Confidential,
        grant_types: vec![GrantType::ClientCredentials],
        scopes: vec!["orders:read".to_owned()],
        permissions: Vec::new(),
        audiences: vec!["https://api.example.com".to_owned()],
        allowed_groups: Vec::new(),
        claims: Vec::new(),
        token_exchange_from: Vec::new(),
        access_token_ttl: 600,
        refresh_token_ttl: 28_800,
        credentials: vec![credential],
    }
}

fn ed25519(kid: &str, bytes: &[u8; 32]) -> PublicKey {
    let x = URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x });
    serde_json::from_value(jwk).expect("a key")
}

fn claim(name: &str, values: usize) -> GroupClaim {
    let value = |number| ClaimValue { group: "staff".to_owned(), value: format!("role-{number}") };
    GroupClaim { name: name.to_owned(), format: ClaimFormat::Array, values: (0..values).map(value).collect() }
}

fn any_client() -> impl Strategy<Value = Client> {
    let grants = vec![GrantType::ClientCredentials, GrantType::RefreshToken, GrantType::Password];
    let names = |pattern| {
        prop::collection::btree_set(pattern, 0..4).prop_map(|set| set.into_iter().collect::<Vec<String>>())
    };
    let credentials = prop::collection::vec(
        (any::<[u8; 32]>(), any::<bool>(), prop::option::of(0_i64..4_000_000_000)),
        0..3,
    );
    (
        "[a-zA-Z!-/][!-~]{0,30}",
        prop::sample::subsequence(grants, 0..=3),
        names("[!#-\\[\\]-~]{1,20}"),
        names("[$-~]{1,40}"),
        (prop::collection::vec("/?[a-z0-9][a-z:._-]{0,9}", 0..3), names("[a-z]{1,20}")),
        prop::collection::btree_map("[a-z]{1,4}x", 1..3_usize, 0..3),
        (rules::MIN_ACCESS_TOKEN_TTL..=rules::MAX_ACCESS_TOKEN_TTL, 60..=rules::MAX_REFRESH_TOKEN_TTL),
        credentials,
    )
        .prop_map(
            |(
                client_id,
                grant_types,
                scopes,
                audiences,
                (allowed_groups, from),
                claims,
                lifetimes,
                credentials,
            )| {
                Client {
                    client_id,
                    client_type: ClientType::Confidential,
                    grant_types,
                    permissions: scopes.iter().take(1).cloned().collect(),
                    scopes,
                    audiences,
                    allowed_groups,
                    token_exchange_from: from,
                    claims: claims.iter().map(|(name, values)| claim(name, *values)).collect(),
                    access_token_ttl: lifetimes.0,
                    refresh_token_ttl: lifetimes.1,
                    credentials: credentials
                        .into_iter()
                        .map(|(bytes, is_key, expires_at)| Credential {
                            id: Uuid::new_v4(),
                            expires_at: expires_at.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
                            kind: if is_key {
                                CredentialKind::Key { jwk: ed25519(&Uuid::new_v4().to_string(), &bytes) }
                            } else {
                                CredentialKind::Secret { sha256: SecretDigest::new(bytes) }
                            },
                        })
                        .collect(),
                }
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

//! What the operator renders, the server reads unchanged; everything else is refused without a panic, and without a digest in
//! the message.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use latchkey_clients::{
    ClaimFormat, ClaimValue, Client, ClientType, Credential, CredentialKind, FORMAT, GrantType, GroupClaim,
    MAX_CLIENTS, PublicKey, Registry, RegistryError, SecretDigest, rules,
};
use serde_json::{Value, json};
use uuid::Uuid;

const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn client() -> Client {
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

fn ed25519(kid: &str, bytes: &[u8; 32]) -> PublicKey {
    let x = URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x });
    serde_json::from_value(jwk).expect("a key")
}

fn key(id: u128, jwk: PublicKey) -> Credential {
    Credential { kind: CredentialKind::Key { jwk }, ..secret(id) }
}

fn claim(name: &str, values: usize) -> GroupClaim {
    let value = |number| ClaimValue { group: "staff".to_owned(), value: format!("role-{number}") };
    GroupClaim { name: name.to_owned(), format: ClaimFormat::Array, values: (0..values).map(value).collect() }
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
    for id in ["", "a b", "12", "latchkey"] {
        assert_fault("whose id", |client| client.token_exchange_from = vec!["web".to_owned(), id.to_owned()]);
    }
    assert_fault("repeats", |client| client.token_exchange_from = vec!["web".to_owned(), "web".to_owned()]);
    assert_fault("more than 64 clients", |client| {
        client.token_exchange_from =
            (0..=rules::MAX_EXCHANGING_CLIENTS).map(|n| format!("client-{n}")).collect();
    });
    assert_fault("a permission", |client| client.permissions = vec!["users.read".to_owned()]);
    assert_eq!(fault(|client| client.permissions = client.scopes.clone()), None);
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
fn only_strong_public_keys_of_a_few_are_accepted() {
    let with = |keys: &[PublicKey]| {
        let keys: Vec<_> = (10_u128..).zip(keys).map(|(id, jwk)| key(id, jwk.clone())).collect();
        fault(|client| client.credentials.extend(keys)).unwrap_or_default()
    };
    let one = ed25519("1", &[1; 32]);
    assert_eq!(with(&[one.clone(), ed25519("2", &[2; 32])]), "");
    assert!(with(&[one.clone(), ed25519("1", &[2; 32])]).contains("repeats a key or a kid"));
    assert!(with(&[one.clone(), ed25519("2", &[1; 32])]).contains("repeats a key or a kid"));
    let unnamed = PublicKey { kid: None, ..ed25519("2", &[2; 32]) };
    assert_eq!(with(std::slice::from_ref(&unnamed)), "");
    assert!(with(&[one.clone(), unnamed]).contains("no kid"));
    let many: Vec<_> = (0..=u8::try_from(rules::MAX_KEYS).expect("a few"))
        .map(|n| ed25519(&n.to_string(), &[n; 32]))
        .collect();
    assert!(with(&many).contains("has more than 4 keys"));
    assert!(
        with(&[PublicKey { usage: Some("enc".to_owned()), ..one.clone() }]).contains("a use other than sig")
    );
    let rsa = |bytes: &[u8], e: &str, alg: &str| PublicKey {
        kty: "RSA".to_owned(),
        alg: Some(alg.to_owned()),
        crv: None,
        x: None,
        n: Some(URL_SAFE_NO_PAD.encode(bytes)),
        e: Some(e.to_owned()),
        ..one.clone()
    };
    for alg in ["RS256", "PS256"] {
        assert_eq!(with(&[rsa(&[0xff; 256], "AQAB", alg)]), "");
    }
    for weak in [
        rsa(&[0xff; 256], "Aw", "RS256"),
        rsa(&[0xff; 255], "AQAB", "RS256"),
        rsa(&[0x7f; 256], "AQAB", "RS256"),
        rsa(&[0xff; 513], "AQAB", "RS256"),
        rsa(&[0xff; 256], "AQAB", "HS256"),
        rsa(&[0xff; 256], "AQAB", "none"),
        PublicKey { crv: Some("X25519".to_owned()), ..one.clone() },
        PublicKey { x: Some("AAAA".to_owned()), ..one.clone() },
        PublicKey { alg: Some("ES256".to_owned()), ..one.clone() },
        PublicKey { kty: "oct".to_owned(), ..one },
    ] {
        assert!(with(std::slice::from_ref(&weak)).contains("has a key that"), "{weak:?}");
    }
    // A member that is not public.
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA", "d": "AAAA" });
    assert!(serde_json::from_value::<PublicKey>(jwk).is_err());
}

#[test]
fn a_workload_has_different_service_accounts_that_are_not_default() {
    let with = |names: &[&str]| {
        let account = |(id, name): (u128, &&str)| {
            let kind =
                CredentialKind::ServiceAccount { namespace: "shop".to_owned(), name: (*name).to_owned() };
            Credential { kind, ..secret(id) }
        };
        let accounts = (1..).zip(names).map(account).collect();
        fault(|client| (client.client_type, client.credentials) = (ClientType::Workload, accounts))
            .unwrap_or_default()
    };
    assert_eq!(with(&["orders", "billing"]), "");
    assert!(with(&["orders", "orders"]).contains("repeats a service account"));
    assert!(with(&["default"]).contains("has the service account default"));
}

#[test]
fn each_rule_of_groups_and_claims_is_enforced() {
    for group in ["", "a b", "a,b", "/", "a//b", "..", "system:masters", "System:x", "ä", &"x".repeat(129)] {
        assert_fault("allowed group", |client| client.allowed_groups.push(group.to_owned()));
        assert_fault("for a group", |client| {
            let value = ClaimValue { group: group.to_owned(), value: "admin".to_owned() };
            client.claims = vec![GroupClaim { values: vec![value], ..claim("roles", 0) }];
        });
    }
    assert_fault("allowed groups", |client| {
        client.allowed_groups = (0..=rules::MAX_ALLOWED_GROUPS).map(|n| n.to_string()).collect();
    });
    for name in ["", "a b", "a\"", "ä", &"x".repeat(rules::MAX_CLAIM_NAME + 1)] {
        assert_fault("a claim whose name", |client| client.claims = vec![claim(name, 1)]);
    }
    // Whoever reads them must be able to trust them.
    for name in [
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "sid",
        "cred",
        "client_id",
        "scope",
        "groups",
        "act",
        "amr",
        "acr",
        "auth_time",
        "azp",
        "cnf",
        "may_act",
        "email",
        "name",
        "username",
        "preferred_username",
        "Sub",
        "GROUPS",
    ] {
        assert_fault("is reserved", |client| client.claims = vec![claim(name, 1)]);
    }
    for value in ["", "a b", "a\"", "a\\", "ä"] {
        assert_fault("whose value", |client| {
            let value = ClaimValue { group: "staff".to_owned(), value: value.to_owned() };
            client.claims = vec![GroupClaim { values: vec![value], ..claim("roles", 0) }];
        });
    }
    for values in [0, rules::MAX_CLAIM_VALUES + 1] {
        assert_fault("a claim without values", |client| client.claims = vec![claim("roles", values)]);
    }
    assert_fault("two claims", |client| client.claims = vec![claim("roles", 1), claim("roles", 2)]);
    assert_fault("claims", |client| {
        client.claims = (0..=rules::MAX_CLAIMS).map(|n| claim(&format!("c{n}"), 1)).collect();
    });
    assert_fault("bytes", |client| {
        client.claims =
            (0..rules::MAX_CLAIMS).map(|n| claim(&format!("c{n}"), rules::MAX_CLAIM_VALUES)).collect();
    });
    let valid = |client: &mut Client| {
        client.allowed_groups = vec!["/shop/staff".to_owned(), "orders:read".to_owned()];
        client.claims = vec![claim("roles", rules::MAX_CLAIM_VALUES), claim("https://shop.example/roles", 1)];
    };
    assert_eq!(fault(valid), None);
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

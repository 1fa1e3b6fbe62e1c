use std::fs;

use aws_lc_rs::digest::SHA256;
use latchkey_clients::{ClientType, Credential, GrantType, SecretDigest};

use super::*;

const SECRET: &str = "the secret of this test";

fn credential(id: u128, secret: &str, expires_at: Option<i64>) -> Credential {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&SHA256, secret.as_bytes()).as_ref());
    Credential {
        id: Uuid::from_u128(id),
        expires_at: expires_at.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        kind: CredentialKind::Secret { sha256: SecretDigest::new(bytes) },
    }
}

fn client(id: &str, credentials: Vec<Credential>) -> Client {
    Client {
        client_id: id.to_owned(),
        client_type: ClientType::Confidential,
        grant_types: vec![GrantType::ClientCredentials],
        scopes: Vec::new(),
        permissions: Vec::new(),
        audiences: Vec::new(),
        allowed_groups: Vec::new(),
        claims: Vec::new(),
        token_exchange_from: Vec::new(),
        access_token_ttl: 600,
        refresh_token_ttl: 600,
        credentials,
    }
}

fn registry(serial: u64, ids: &[&str]) -> Vec<u8> {
    let clients = ids.iter().zip(1..).map(|(id, number)| client(id, vec![credential(number, SECRET, None)]));
    Registry::new(serial, clients.collect()).unwrap().to_gzip()
}

struct File {
    folder: tempfile::TempDir,
    registry: Arc<ClientRegistry>,
}

impl File {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = ClientRegistry::new(Some(folder.path().join("clients")));
        Self { folder, registry }
    }

    fn write(&self, content: &[u8]) -> Result<Loaded, ClientRegistryError> {
        fs::write(self.folder.path().join("clients"), content).unwrap();
        self.registry.reload()
    }

    fn knows(&self, id: &str) -> bool {
        self.registry.clients().unwrap().find(id).is_some()
    }
}

#[test]
fn without_a_file_there_are_no_clients() {
    for registry in [ClientRegistry::new(None), File::new().registry] {
        assert_eq!(registry.reload().unwrap(), Loaded::Nothing);
        assert_eq!(registry.loaded(), None);
        assert!(registry.clients().unwrap().find("orders").is_none());
    }
}

#[test]
fn the_last_good_registry_stays() {
    let file = File::new();
    assert_eq!(file.write(&registry(7, &["orders"])).unwrap(), Loaded::Registry { serial: 7, clients: 1 });
    assert!(matches!(file.write(b"damaged"), Err(ClientRegistryError::Refused { .. })));
    assert!(matches!(file.write(&registry(6, &["billing"])), Err(ClientRegistryError::Older { .. })));
    fs::remove_file(file.folder.path().join("clients")).unwrap();
    assert!(matches!(file.registry.reload(), Err(ClientRegistryError::Unreadable { .. })));
    assert_eq!((file.registry.loaded(), file.knows("orders")), (Some((7, 1)), true));
    assert_eq!(file.write(&registry(8, &[])).unwrap(), Loaded::Registry { serial: 8, clients: 0 });
    assert!(!file.knows("orders"));
}

#[test]
fn while_no_registry_could_be_read_nothing_is_known() {
    let file = File::new();
    assert!(file.write(b"damaged").is_err());
    assert_eq!(file.registry.clients().unwrap_err(), UnknownClients);
    assert_eq!(file.registry.loaded(), None);
    file.write(&registry(1, &["orders"])).unwrap();
    assert!(file.knows("orders"));
}

#[test]
fn each_credential_authenticates_until_it_expires() {
    let known = client("orders", vec![credential(1, SECRET, Some(100)), credential(2, "the next one", None)]);
    let clients =
        Clients::new(Registry::new(1, vec![known, client("empty", vec![credential(3, "", None)])]).unwrap());
    let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
    let found = |id: &str, secret: &str, seconds| {
        clients.authenticate(id, secret, at(seconds)).map(|found| found.credential.as_u128())
    };
    assert_eq!(found("orders", SECRET, 99), Some(1));
    assert_eq!(found("orders", SECRET, 100), None);
    assert_eq!(found("orders", "the next one", 100), Some(2));
    for (id, secret) in [("orders", "wrong"), ("orders", ""), ("Orders", SECRET), ("", ""), ("empty", "")] {
        assert_eq!(found(id, secret, 0), None, "{id} {secret}");
    }
    // Tokens of an expired credential expire by themselves.
    assert!(clients.has_credential("orders", Uuid::from_u128(1)));
    assert!(!clients.has_credential("empty", Uuid::from_u128(1)));
    assert!(!clients.has_credential("nobody", Uuid::from_u128(1)));
}

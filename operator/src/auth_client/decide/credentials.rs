//! The credentials of an AuthClient that are in its spec: public keys and service accounts.

use kube::ResourceExt;
use latchkey_clients::{Credential, CredentialKind, PublicKey};
use latchkey_crds::AuthClient;
use latchkey_crds::auth_client::Jwk;
use uuid::Uuid;

/// The keys and service accounts, numbered. The registry replaces the numbers by ids of its own.
pub(super) fn credentials(auth_client: &AuthClient) -> Vec<Credential> {
    let namespace = auth_client.namespace().unwrap_or_default();
    let keys = auth_client.spec.jwks.iter().flat_map(|jwks| &jwks.keys);
    let keys = keys.map(|jwk| CredentialKind::Key { jwk: public_key(jwk) });
    let accounts = auth_client.spec.service_accounts.iter().map(|account| CredentialKind::ServiceAccount {
        namespace: namespace.clone(),
        name: account.name.clone(),
    });
    let kinds = keys.chain(accounts);
    kinds
        .zip(1..)
        .map(|(kind, number)| Credential { id: Uuid::from_u128(number), expires_at: None, kind })
        .collect()
}

fn public_key(jwk: &Jwk) -> PublicKey {
    PublicKey {
        kty: jwk.kty.as_str().to_owned(),
        kid: jwk.kid.clone(),
        alg: jwk.alg.clone(),
        usage: jwk.usage.clone(),
        crv: jwk.crv.clone(),
        x: jwk.x.clone(),
        y: jwk.y.clone(),
        n: jwk.n.clone(),
        e: jwk.e.clone(),
    }
}

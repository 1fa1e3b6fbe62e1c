//! The next registry of an AuthService. Pure: time and random ids are arguments.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use latchkey_clients::{
    Client, ClientType, Credential, CredentialKind, MAX_CLIENTS, Registry, RegistryError, SecretDigest,
};
use uuid::Uuid;

use super::Wanted;

/// The maximum number of previous secrets of a client; the oldest are dropped. Each rotation during the overlap of
/// another one adds one.
const MOST_PREVIOUS: usize = 4;

/// An AuthClient of the AuthService.
#[derive(Debug, Clone)]
pub(crate) enum Member {
    /// Not decided since the operator started: the last registry's entry with this client id stays.
    Undecided { client_id: String },
    /// To be registered.
    Wanted { uid: String, wanted: Box<Wanted> },
}

/// A registry, and which AuthClient each entry is from.
#[derive(Debug, Clone)]
pub(crate) struct NextRegistry {
    pub registry: Registry,
    /// The uid of the AuthClient by client id, as far as it is known.
    pub owners: BTreeMap<String, String>,
}

/// The registry with these members, in the order of their age: the first one with a client id has it. If the content is
/// that of the last registry, so is its serial. `floor` is the serial of a registry without a predecessor.
///
/// # Errors
/// When a client breaks a rule, which its AuthClient should have been refused for.
pub(crate) fn next_registry(
    last: Option<&Registry>,
    members: Vec<Member>,
    now: DateTime<Utc>,
    floor: u64,
    mut new_id: impl FnMut() -> Uuid,
) -> Result<NextRegistry, RegistryError> {
    let known: BTreeMap<&str, &Client> =
        last.into_iter().flat_map(Registry::clients).map(|client| (&*client.client_id, client)).collect();
    let mut taken = HashSet::new();
    let mut clients = Vec::new();
    let mut owners = BTreeMap::new();
    for member in members {
        let id = match &member {
            Member::Undecided { client_id } => client_id.clone(),
            Member::Wanted { wanted, .. } => wanted.client.client_id.clone(),
        };
        if clients.len() == MAX_CLIENTS || !taken.insert(id.clone()) {
            continue;
        }
        let before = known.get(&*id).copied();
        match member {
            Member::Undecided { .. } => clients.extend(before.cloned()),
            Member::Wanted { uid, wanted } => {
                let credentials = credentials(&wanted, before, now, &mut new_id);
                // Until its secret exists, a confidential client could not authenticate.
                if wanted.client.client_type == ClientType::Confidential && credentials.is_empty() {
                    continue;
                }
                owners.insert(id, uid);
                clients.push(Client { credentials, ..wanted.client });
            }
        }
    }
    clients.sort_unstable_by(|one, other| one.client_id.cmp(&other.client_id));
    if let Some(last) = last.filter(|last| last.clients() == clients) {
        return Ok(NextRegistry { registry: last.clone(), owners });
    }
    let serial = last.map_or(floor, |last| last.serial() + 1);
    Ok(NextRegistry { registry: Registry::new(serial, clients)?, owners })
}

/// The credentials of a client: the current secret, the next one, the previous ones, and its keys and service accounts.
fn credentials(
    wanted: &Wanted,
    before: Option<&Client>,
    now: DateTime<Utc>,
    new_id: &mut impl FnMut() -> Uuid,
) -> Vec<Credential> {
    let before = before.map(|client| client.credentials.as_slice()).unwrap_or_default();
    // A key or an account that was removed and is added again has another id: tokens of the first time stay refused.
    let of_spec: Vec<_> = wanted
        .client
        .credentials
        .iter()
        .map(|credential| {
            let known = before.iter().find(|known| known.kind.is_same(&credential.kind));
            Credential { id: known.map_or_else(&mut *new_id, |known| known.id), ..credential.clone() }
        })
        .collect();
    if !wanted.has_secret {
        return of_spec;
    }
    let mut secrets: Vec<SecretDigest> = wanted.current.into_iter().collect();
    secrets.extend(wanted.next.filter(|next| Some(*next) != wanted.current));
    let mut credentials: Vec<Credential> = secrets
        .iter()
        .map(|digest| {
            let known = before.iter().find(|known| digest_of(known) == Some(*digest));
            Credential {
                id: known.map_or_else(&mut *new_id, |known| known.id),
                expires_at: None,
                kind: CredentialKind::Secret { sha256: *digest },
            }
        })
        .collect();
    let end = (now + TimeDelta::seconds(wanted.overlap)).trunc_subsecs(0);
    let access_token_ttl = TimeDelta::seconds(i64::from(wanted.client.access_token_ttl));
    let mut previous: Vec<Credential> = before
        .iter()
        .filter(|known| digest_of(known).is_some_and(|digest| !secrets.contains(&digest)))
        .cloned()
        .map(|mut known| {
            // While the current secret is not known, nothing has replaced the registered one.
            if wanted.current.is_some() {
                known.expires_at = Some(known.expires_at.map_or(end, |set| set.min(end)));
            }
            known
        })
        // Access tokens that were issued for it shortly before its end are still valid.
        .filter(|known| known.expires_at.is_none_or(|end| now < end + access_token_ttl))
        .collect();
    if wanted.revokes_previous && wanted.current.is_some() {
        previous.clear();
    }
    // One without an end first; then the one that works longest.
    previous.sort_by_key(|known| (known.expires_at.is_some(), std::cmp::Reverse(known.expires_at)));
    previous.truncate(MOST_PREVIOUS);
    credentials.extend(previous);
    credentials.extend(of_spec);
    credentials
}

/// The digest of a secret; `None` for another kind of credential.
pub(super) fn digest_of(credential: &Credential) -> Option<SecretDigest> {
    match &credential.kind {
        CredentialKind::Secret { sha256 } => Some(*sha256),
        CredentialKind::Key { .. } | CredentialKind::ServiceAccount { .. } => None,
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
pub(super) mod tests;

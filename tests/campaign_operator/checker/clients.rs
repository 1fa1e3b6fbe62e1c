//! The steps that are forbidden with AuthClients: their Secrets, the registry of OAuth clients, and their deletion.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latchkey_clients::{CredentialKind, Registry};

use super::{Rule, Violation};
use crate::history::{Entry, Permit, Version};
use crate::replicas::{CLIENTS, registry};

/// Every forbidden step in a history.
pub fn check(entries: &[Entry]) -> Vec<Violation> {
    let mut checker = Checker { lives: lives(entries), ends: ends(entries), ..Checker::default() };
    for entry in entries {
        match entry {
            Entry::Permits(Permit::ClientRotation { name }) => {
                *checker.rotations.entry(name.clone()).or_default() += 1;
            }
            Entry::Permits(Permit::Replacement { kind, name }) if kind == "Secret" => {
                checker.replaceable.insert(name.clone());
            }
            Entry::LoadedClients { replica, serial } => {
                checker.loaded.insert(*replica, *serial);
            }
            Entry::Object(version) => checker.see(version),
            Entry::Permits(_) | Entry::Loaded { .. } => {}
        }
    }
    checker.found
}

/// The resource versions at which an AuthClient was created, and at which its deletion was requested.
type Life = (u64, Option<u64>);

#[derive(Debug, Default)]
struct Checker {
    found: Vec<Violation>,
    /// By client id.
    lives: BTreeMap<String, Vec<Life>>,
    /// The client secrets that may be replaced, by Secret.
    rotations: BTreeMap<String, usize>,
    /// The Secrets that the plan itself changes.
    replaceable: BTreeSet<String>,
    /// The serial that each replica has loaded.
    loaded: BTreeMap<usize, u64>,
    /// The last registry.
    registry: Option<Registry>,
    /// The secret of each credential, in all registries.
    credentials: BTreeMap<String, Digest>,
    /// The first serial with each secret.
    since: BTreeMap<Digest, u64>,
    /// The client secret in each Secret, by name and owner.
    secrets: BTreeMap<(String, String), String>,
    /// The resource versions with which AuthClients were deleted, by uid.
    ends: BTreeMap<String, u64>,
    /// The serial with which each client id left the registry.
    removed: BTreeMap<String, u64>,
}

/// The SHA-256 digest of a secret.
type Digest = [u8; 32];

/// The client id is the default one.
fn client_id(version: &Version) -> String {
    format!("{}.{}", version.text("/metadata/namespace"), version.name)
}

fn lives(entries: &[Entry]) -> BTreeMap<String, Vec<Life>> {
    let mut by_uid: BTreeMap<String, (String, Life)> = BTreeMap::new();
    for entry in entries {
        let Entry::Object(version) = entry else { continue };
        if version.kind != "AuthClient" {
            continue;
        }
        let (_, life) = by_uid
            .entry(version.uid().to_owned())
            .or_insert_with(|| (client_id(version), (version.number, None)));
        let is_ending = version.deleted || !version.text("/metadata/deletionTimestamp").is_empty();
        if is_ending && life.1.is_none() {
            life.1 = Some(version.number);
        }
    }
    let mut lives: BTreeMap<String, Vec<Life>> = BTreeMap::new();
    for (id, life) in by_uid.into_values() {
        lives.entry(id).or_default().push(life);
    }
    lives
}

/// The kinds are observed independently, so that only resource versions tell what came first.
fn ends(entries: &[Entry]) -> BTreeMap<String, u64> {
    let versions = entries.iter().filter_map(|entry| match entry {
        Entry::Object(version) if version.kind == "AuthClient" && version.deleted => Some(version),
        _ => None,
    });
    versions.map(|version| (version.uid().to_owned(), version.number)).collect()
}

impl Checker {
    fn report(&mut self, rule: Rule, version: &Version, what: &str) {
        let what = format!("{}/{} at {}: {what}", version.kind, version.name, version.number);
        self.found.push(Violation { rule, what });
    }

    fn see(&mut self, version: &Version) {
        match version.kind.as_str() {
            "AuthClient" if version.deleted => self.follow_deletion(version),
            "Secret" if version.deleted => {
                let owner = version.owner_of_kind("AuthClient").to_owned();
                self.secrets.remove(&(version.name.clone(), owner));
            }
            "Secret" if version.name == CLIENTS => self.follow_registry(version),
            "Secret" => self.follow_secret(version),
            _ => {}
        }
    }

    fn follow_registry(&mut self, version: &Version) {
        let Some(now) = registry(&version.object) else {
            if !self.replaceable.contains(CLIENTS) {
                self.report(Rule::ClientLost, version, "the registry is damaged");
            }
            return;
        };
        for client in now.clients() {
            for credential in &client.credentials {
                let CredentialKind::Secret { sha256 } = &credential.kind else { continue };
                let digest = *sha256.as_bytes();
                self.since.entry(digest).or_insert(now.serial());
                let known = self.credentials.insert(credential.id.to_string(), digest);
                if known.is_some_and(|known| known != digest) {
                    self.report(Rule::CredentialReused, version, &credential.id.to_string());
                }
            }
        }
        let again: Vec<String> = now
            .clients()
            .iter()
            .map(|client| client.client_id.clone())
            .filter(|id| self.removed.remove(id).is_some() && !self.lives_at(id, version.number))
            .collect();
        for id in again {
            self.report(Rule::ClientRevived, version, &format!("{id} is registered again"));
        }
        let Some(before) = self.registry.replace(now.clone()) else { return };
        let is_there = |id: &str| now.clients().iter().any(|client| client.client_id == id);
        let gone: Vec<String> = before
            .clients()
            .iter()
            .map(|client| client.client_id.clone())
            .filter(|id| !is_there(id))
            .collect();
        self.removed.extend(gone.iter().map(|id| (id.clone(), now.serial())));
        if self.replaceable.contains(CLIENTS) {
            return;
        }
        if now.serial() < before.serial() || (now.serial() == before.serial() && now != before) {
            let what = format!("serial {} after {}", now.serial(), before.serial());
            self.report(Rule::SerialReused, version, &what);
        }
        for id in gone {
            if self.lives_at(&id, version.number) {
                self.report(Rule::ClientLost, version, &format!("{id} is missing"));
            }
        }
    }

    /// Whether an AuthClient with this id existed, and was not to be deleted, at a resource version.
    fn lives_at(&self, id: &str, number: u64) -> bool {
        let lives = self.lives.get(id).into_iter().flatten();
        lives.into_iter().any(|(from, to)| *from < number && to.is_none_or(|to| number < to))
    }

    fn follow_secret(&mut self, version: &Version) {
        let owner = version.owner_of_kind("AuthClient");
        let Some(secret) = version.object.pointer("/data/client-secret").and_then(|text| text.as_str())
        else {
            return;
        };
        if owner.is_empty() {
            return;
        }
        let is_gone = self.ends.get(owner).is_some_and(|end| *end < version.number);
        // The garbage collector has not deleted yet what was there before.
        if is_gone && !self.secrets.contains_key(&(version.name.clone(), owner.to_owned())) {
            self.report(Rule::ClientRevived, version, "its AuthClient does not exist any more");
        }
        let key = (version.name.clone(), owner.to_owned());
        let before = self.secrets.insert(key, secret.to_owned());
        if before.is_none_or(|before| before == secret) || self.replaceable.contains(&version.name) {
            return;
        }
        let permitted = self.rotations.get_mut(&version.name).filter(|left| **left > 0);
        let Some(left) = permitted else {
            self.report(Rule::ClientSecretChanged, version, "it has another client secret");
            return;
        };
        *left -= 1;
        let text = STANDARD.decode(secret).unwrap_or_default();
        let digest: Option<Digest> = digest(&SHA256, &text).as_ref().try_into().ok();
        let since = digest.and_then(|digest| self.since.get(&digest)).copied();
        let behind = self.loaded.iter().find(|(_, serial)| since.is_none_or(|since| **serial < since));
        if let Some((replica, serial)) = behind {
            let what = format!("replica {replica} has loaded {serial}, and the secret is in {since:?}");
            self.report(Rule::ClientSecretTooEarly, version, &what);
        }
    }

    fn follow_deletion(&mut self, version: &Version) {
        let id = client_id(version);
        let registered =
            self.registry.iter().flat_map(Registry::clients).any(|client| client.client_id == id);
        // Another AuthClient of that name has its own entry, which looks the same.
        if registered && self.lives.get(&id).is_some_and(|lives| lives.len() == 1) {
            self.report(Rule::ClientGoneTooEarly, version, "the registry has it");
        }
        let Some(since) = self.removed.get(&id).copied() else { return };
        let behind = self.loaded.iter().find(|(_, serial)| **serial < since);
        if let Some((replica, serial)) = behind {
            let what = format!("replica {replica} has loaded {serial}, and it left with {since}");
            self.report(Rule::ClientGoneTooEarly, version, &what);
        }
    }
}

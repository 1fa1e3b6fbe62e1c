//! Decides from the history of a plan whether the operator took a forbidden step. Pure.

mod clients;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod forged_clients;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::history::{Entry, Permit, Version};
use crate::proxy::Write;
use crate::replicas::{KEYS, key_set, kids};
use crate::scenario::NAME;

/// The annotation of another manager that the plans set.
pub const NOTE: &str = "example.com/note";

/// A rule that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A key signs although a replica had not loaded it before.
    SignsBeforePublished,
    /// Other keys were generated although the former ones were not lost, or the material of a key changed.
    KeysChanged,
    /// The generated password of an embedded store changed.
    CredentialsChanged,
    /// The generated secret of an AuthClient changed.
    ClientSecretChanged,
    /// A rotated client secret could be read before every replica had loaded it.
    ClientSecretTooEarly,
    /// An AuthClient left the registry although it exists.
    ClientLost,
    /// A registry has a lower serial than the one before, or the same with another content.
    SerialReused,
    /// The id of a credential names another secret.
    CredentialReused,
    /// An AuthClient that was deleted is in the registry again, or has a Secret again.
    ClientRevived,
    /// An AuthClient was gone before every replica had loaded a registry without it.
    ClientGoneTooEarly,
    /// The operator wrote an object of another owner.
    ForeignObject,
    /// A field of another manager was removed.
    ForeignField,
    /// The pods got another image or database before the migration for it completed.
    BeforeMigration,
    /// An object was deleted and created again for no reason.
    Replaced,
    /// The result is not that of an undisturbed run.
    OtherResult,
    /// The operator created objects of an AuthService that it knew to be deleted.
    AfterDeletion,
    /// The operator writes although there is nothing to do.
    NeverQuiet,
    /// The operator ended or panicked.
    Crashed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    pub what: String,
}

impl Violation {
    pub fn new(rule: Rule, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }
}

/// Every forbidden step in a history, and in the writes of the operators.
pub fn check(entries: &[Entry], writes: &[Write]) -> Vec<Violation> {
    let mut checker = Checker { migrated: migrations(entries), ..Checker::default() };
    for entry in entries {
        match entry {
            Entry::Permits(Permit::Revocation) => checker.revocations += 1,
            Entry::Permits(Permit::Replacement { kind, name }) => {
                checker.replaceable.insert((kind.clone(), name.clone()));
            }
            Entry::Permits(Permit::ForeignWrite { kind, name }) => {
                *checker.foreign.entry((kind.clone(), name.clone())).or_default() += 1;
            }
            Entry::Permits(Permit::ClientRotation { .. }) | Entry::LoadedClients { .. } => {}
            Entry::Loaded { replica, kids } => {
                checker.loaded.insert(*replica, kids.iter().cloned().collect());
            }
            Entry::Object(version) => checker.see(version),
        }
    }
    for (object, left) in std::mem::take(&mut checker.foreign_versions) {
        if left > checker.foreign[&object] {
            let what = format!("{}/{} was changed", object.0, object.1);
            checker.found.push(Violation::new(Rule::ForeignObject, what));
        }
    }
    for write in writes {
        let name = &write.call.name;
        if checker
            .foreign
            .keys()
            .any(|(kind, foreign)| foreign == name && write.call.resource == plural(kind))
        {
            let what = format!("{:?} of {}/{name}", write.call.verb, write.call.resource);
            checker.found.push(Violation::new(Rule::ForeignObject, what));
        }
    }
    checker.found.extend(clients::check(entries));
    checker.found
}

fn plural(kind: &str) -> String {
    format!("{}s", kind.to_lowercase())
}

type Name = (String, String);

#[derive(Debug, Default)]
struct Checker {
    found: Vec<Violation>,
    revocations: usize,
    replaceable: BTreeSet<Name>,
    /// The objects of other owners, with the number of versions that the plan wrote.
    foreign: BTreeMap<Name, usize>,
    foreign_versions: BTreeMap<Name, usize>,
    loaded: BTreeMap<usize, BTreeSet<String>>,
    /// The last key set, with the owner of its Secret.
    keys: Option<(String, Value)>,
    /// The generated passwords, by Secret and owner.
    passwords: BTreeMap<(String, String), String>,
    /// Image and database of completed migrations, with the first resource version that shows it.
    migrated: BTreeMap<(String, String), u64>,
    served: Option<(String, String)>,
    /// The uid of each object, by the uid of its owner.
    uids: BTreeMap<(Name, String), String>,
    /// The AuthServices that were deleted.
    ended: BTreeSet<String>,
    /// The foreign annotations of each object, by uid.
    notes: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Checker {
    fn report(&mut self, rule: Rule, version: &Version, what: &str) {
        let what = format!("{}/{} at {}: {what}", version.kind, version.name, version.number);
        self.found.push(Violation { rule, what });
    }

    fn see(&mut self, version: &Version) {
        let object = (version.kind.clone(), version.name.clone());
        if self.foreign.contains_key(&object) {
            *self.foreign_versions.entry(object).or_default() += 1;
            return;
        }
        if version.deleted {
            match version.kind.as_str() {
                "Deployment" => self.served = None,
                "AuthService" => drop(self.ended.insert(version.uid().to_owned())),
                _ => {}
            }
            return;
        }
        self.follow_uid(version);
        self.follow_notes(version);
        match version.kind.as_str() {
            "Secret" if version.name == KEYS => self.follow_keys(version),
            "Secret" => self.follow_password(version),
            "Deployment" if version.name == NAME => self.follow_rollout(version),
            _ => {}
        }
    }

    fn follow_uid(&mut self, version: &Version) {
        let object = (version.kind.clone(), version.name.clone());
        if version.owner().is_empty() || version.kind == "Job" || self.replaceable.contains(&object) {
            return;
        }
        // The objects of a deleted AuthService are deleted, whenever they are written.
        if self.ended.contains(version.owner()) {
            return;
        }
        let key = (object, version.owner().to_owned());
        let before = self.uids.insert(key, version.uid().to_owned());
        if before.is_some_and(|before| before != version.uid()) {
            self.report(Rule::Replaced, version, "it has another uid");
        }
    }

    fn follow_notes(&mut self, version: &Version) {
        let annotations = version.object["metadata"]["annotations"].as_object();
        let notes: BTreeMap<String, Value> = annotations
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name == NOTE)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let before = self.notes.insert(version.uid().to_owned(), notes.clone()).unwrap_or_default();
        if let Some(name) = before.keys().find(|name| !notes.contains_key(*name)) {
            self.report(Rule::ForeignField, version, &format!("the annotation {name} is gone"));
        }
    }

    fn follow_keys(&mut self, version: &Version) {
        let Some(now) = key_set(&version.object) else { return };
        let owner = version.owner().to_owned();
        let before = self.keys.replace((owner.clone(), now.clone()));
        let Some((_, before)) = before.filter(|(of, _)| *of == owner || owner.is_empty()) else { return };
        let changed = each_key(&before).any(|key| {
            each_key(&now)
                .any(|new| new["kid"] == key["kid"] && (new["d"] != key["d"] || new["alg"] != key["alg"]))
        });
        if changed {
            self.report(Rule::KeysChanged, version, "a key has other material");
        }
        let (old_kids, new_kids) = (kids(&before), kids(&now));
        if !new_kids.iter().any(|kid| old_kids.contains(kid)) {
            if self.revocations == 0 {
                self.report(Rule::KeysChanged, version, "all keys were replaced");
            }
            self.revocations = self.revocations.saturating_sub(1);
            return;
        }
        let active = |set: &Value| {
            each_key(set)
                .find(|key| key["latchkey_phase"] == "active")
                .and_then(|key| key["kid"].as_str().map(str::to_owned))
        };
        let (was, is) = (active(&before), active(&now));
        if let Some(kid) = is.filter(|_| was != active(&now)) {
            let was_published = each_key(&before)
                .any(|key| key["kid"] == kid.as_str() && key["latchkey_phase"] == "published");
            let missing =
                self.loaded.iter().find(|(_, loaded)| !loaded.contains(&kid)).map(|(replica, _)| *replica);
            if !was_published {
                self.report(Rule::SignsBeforePublished, version, &format!("{kid} was not published"));
            } else if let Some(replica) = missing {
                let what = format!("{kid} was not loaded by replica {replica}");
                self.report(Rule::SignsBeforePublished, version, &what);
            }
        }
    }

    fn follow_password(&mut self, version: &Version) {
        if !version.name.ends_with("-postgres") && !version.name.ends_with("-redis") {
            return;
        }
        let Some(password) = version.object.pointer("/data/password").and_then(Value::as_str) else { return };
        let key = (version.name.clone(), version.owner().to_owned());
        let object = (version.kind.clone(), version.name.clone());
        let before = self.passwords.insert(key, password.to_owned());
        if before.is_some_and(|before| before != password) && !self.replaceable.contains(&object) {
            self.report(Rule::CredentialsChanged, version, "it has another password");
        }
    }

    fn follow_rollout(&mut self, version: &Version) {
        let now = image_and_database(&version.object);
        if self.served.as_ref() == Some(&now) {
            return;
        }
        // An edit by another client is not the operator's.
        let is_of_the_plan = self.replaceable.contains(&(version.kind.clone(), version.name.clone()));
        let is_migrated = self.migrated.get(&now).is_some_and(|at| *at < version.number);
        if !is_migrated && !is_of_the_plan {
            self.report(Rule::BeforeMigration, version, &format!("{} is not migrated", now.0));
        }
        self.served = Some(now);
    }
}

/// The completed migrations. The kinds are observed independently, so that only resource versions tell what came first.
fn migrations(entries: &[Entry]) -> BTreeMap<(String, String), u64> {
    let mut migrated = BTreeMap::new();
    for entry in entries {
        let Entry::Object(version) = entry else { continue };
        let conditions = version.object["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        let is_complete = |found: &Value| found["type"] == "Complete" && found["status"] == "True";
        if version.kind == "Job" && conditions.any(is_complete) {
            let at = migrated.entry(image_and_database(&version.object)).or_insert(version.number);
            *at = version.number.min(*at);
        }
    }
    migrated
}

fn each_key(set: &Value) -> impl Iterator<Item = &Value> {
    set["keys"].as_array().into_iter().flatten()
}

/// The image of the first container, and the hash of the database.
fn image_and_database(object: &Value) -> (String, String) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("/spec/template/spec/containers/0/image"), text("/metadata/annotations/latchkey.dev~1database"))
}

/// A text as it is stored in a Secret.
pub fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

//! What admission changed in the objects that the operator wrote.
//!
//! The response to a write contains changes that nobody but admission can have made: those in the response to a
//! creation, those that a forced apply did not set, and additions that the response to their own removal still holds.
//! The operator accepts them and records them in an annotation, so that it does not revert them after a restart either.
//! The record is a keyed hash of each change: whoever may write the object, but not read the Secret of the keys, cannot
//! add to it.

use std::collections::BTreeSet;

use kube::ResourceExt;
use kube::core::DynamicObject;
use latchkey_config::SecretText;
use serde_json::Value;

use super::additions::{accept, additions};
use super::difference;
use super::field_changes::{Change, changed_fields, is_immutable, replace_where};
use crate::auth_service::render::Rendered;
use crate::fingerprint::{Fingerprint, fingerprint};
use crate::names::ADMITTED_ANNOTATION;

/// The maximum number of recorded changes of one object.
const MOST: usize = 64;
/// The length of a recorded hash.
const LENGTH: usize = 20;

/// The changes of one object that admission is known to have made.
pub(super) struct Admitted<'a> {
    rendered: &'a Rendered,
    salt: &'a SecretText,
    known: BTreeSet<String>,
}

impl<'a> Admitted<'a> {
    /// The changes that the annotation of this version of the object records.
    pub(super) fn recorded(rendered: &'a Rendered, salt: &'a SecretText, live: &DynamicObject) -> Self {
        let annotation = live.annotations().get(ADMITTED_ANNOTATION).map(String::as_str).unwrap_or_default();
        let known = annotation.split(',').filter(|hash| hash.len() == LENGTH).take(MOST).map(str::to_owned);
        Self { rendered, salt, known: known.collect() }
    }

    fn hash(&self, change: &Change) -> String {
        let (wanted, found) = (change.wanted.to_string(), change.found.to_string());
        let parts = [
            self.salt.expose(),
            "admitted",
            self.rendered.kind.as_str(),
            &self.rendered.name,
            &change.path,
            &wanted,
            &found,
        ];
        fingerprint(parts.map(str::as_bytes))[..LENGTH].to_owned()
    }

    /// The hash of a change to any value, for a field that admission sets anew at every write.
    fn hash_of_any(&self, change: &Change) -> String {
        self.hash(&Change {
            found: Value::from("any value"),
            path: format!("{} *", change.path),
            ..change.clone()
        })
    }

    fn knows(&self, change: &Change) -> bool {
        self.known.contains(&self.hash(change)) || self.known.contains(&self.hash_of_any(change))
    }

    /// The rendered object with the additions that admission made.
    pub(super) fn with_additions(&self, live: &DynamicObject) -> Rendered {
        let mut rendered = self.rendered.clone();
        if !self.known.is_empty() {
            for addition in additions(self.rendered, live).iter().filter(|addition| self.knows(addition)) {
                accept(&mut rendered.value, rendered.kind, addition);
            }
        }
        rendered
    }

    /// Whether a rendered field has another value that admission did not set.
    pub(super) fn differs(&self, live: &DynamicObject, applied_fingerprint: Option<Fingerprint>) -> bool {
        difference::differs(self.rendered, live, applied_fingerprint)
            && (!difference::has_hash(self.rendered, live)
                || changed_fields(self.rendered, live)
                    .iter()
                    .any(|change| !is_immutable(self.rendered.kind, &change.path) && !self.knows(change)))
    }

    /// The rendered value as it is applied over the live object: with the values that admission set, as far as the
    /// rendered ones are still the same.
    pub(super) fn applicable(&self, live: &DynamicObject) -> Value {
        replace_where(self.rendered, live, |change| {
            is_immutable(self.rendered.kind, &change.path) || self.knows(change)
        })
    }

    /// The record for this version of the object, in which `is_proven` changes were made by admission, and the changes
    /// that are not recorded yet. `None` if the record is up to date. The fields `restless` may have any value from now
    /// on.
    pub(super) fn update(
        &self,
        live: &DynamicObject,
        restless: &[String],
        is_proven: impl Fn(&Change, Origin) -> bool,
    ) -> Option<(Option<String>, Vec<Change>)> {
        let fields = changed_fields(self.rendered, live).into_iter().map(|change| (change, Origin::Field));
        let added = additions(self.rendered, live).into_iter().map(|change| (change, Origin::Addition));
        let mut current = BTreeSet::new();
        let mut new = Vec::new();
        for (change, origin) in fields.chain(added).take(MOST) {
            let (hash, of_any) = (self.hash(&change), self.hash_of_any(&change));
            if self.known.contains(&of_any) || restless.contains(&change.path) {
                current.insert(of_any);
            } else if self.known.contains(&hash) {
                current.insert(hash);
            } else if is_proven(&change, origin) {
                current.insert(hash);
                new.push(change);
            }
        }
        if current == self.known {
            return None;
        }
        let record = current.into_iter().collect::<Vec<_>>().join(",");
        Some(((!record.is_empty()).then_some(record), new))
    }
}

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A rendered field has another value.
    Field,
    /// A field was added where none is allowed.
    Addition,
}

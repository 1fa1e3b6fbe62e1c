//! The state of the keys of a set, without the key material.

use latchkey_keyset::{Algorithm, KeyNotes, Phase, PrivateKeySet, SetNotes};

/// How many ids of removed keys are remembered.
const REMEMBERED: usize = 32;

/// A key of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub kid: String,
    pub algorithm: Algorithm,
    pub phase: Phase,
    pub notes: KeyNotes,
}

/// A key set without its key material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// Its keys, oldest first.
    pub entries: Vec<Entry>,
    /// The notes about the set as a whole.
    pub notes: SetNotes,
}

impl Ledger {
    /// What is known about the keys of a set.
    pub(crate) fn of(set: &PrivateKeySet) -> Self {
        let entries = set.keys().iter().map(|key| Entry {
            kid: key.public.kid.clone(),
            algorithm: key.public.alg,
            phase: key.latchkey_phase,
            notes: key.latchkey_notes.clone(),
        });
        Self { entries: entries.collect(), notes: set.notes().clone() }
    }

    /// The key that signs.
    pub(crate) fn active(&self) -> Option<&Entry> {
        self.in_phase(Phase::Active)
    }

    /// The key that becomes active next.
    pub(crate) fn published(&self) -> Option<&Entry> {
        self.in_phase(Phase::Published)
    }

    fn in_phase(&self, phase: Phase) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.phase == phase)
    }

    /// Removes the keys for which `goes` holds, and remembers their ids.
    pub(super) fn remove(&mut self, goes: impl Fn(&Entry) -> bool) {
        let gone = self.entries.iter().filter(|entry| goes(entry)).map(|entry| entry.kid.clone());
        self.notes.superseded.extend(gone);
        self.entries.retain(|entry| !goes(entry));
        let surplus = self.notes.superseded.len().saturating_sub(REMEMBERED);
        self.notes.superseded.drain(..surplus);
    }
}

//! The key that a server must have loaded before it becomes ready: the evidence of a rotation if the replicas do not
//! report to the operator. See `docs/decisions/0029`. Pure.

use latchkey_keyset::Phase;

use super::ledger::Ledger;

/// How long the replicas may not answer before their restarts replace the reports, in seconds.
const PATIENCE: i64 = 120;

/// A key, and the phase that it has reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequiredKey {
    pub kid: String,
    /// The least phase: a key that was active has been published.
    pub phase: Phase,
}

impl RequiredKey {
    /// Reads an annotation.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (phase, kid) = text.split_once('.')?;
        let phase = [Phase::Published, Phase::Active].into_iter().find(|known| known.as_str() == phase)?;
        (!kid.is_empty()).then(|| Self { kid: kid.to_owned(), phase })
    }

    /// The value of the annotation.
    pub(crate) fn to_text(&self) -> String {
        format!("{}.{}", self.phase.as_str(), self.kid)
    }

    /// Whether a server with this set meets it.
    fn is_met_by(&self, ledger: &Ledger) -> bool {
        let found = ledger.entries.iter().find(|entry| entry.kid == self.kid);
        found.is_some_and(|entry| rank(entry.phase) >= rank(self.phase))
    }
}

fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Published => 0,
        Phase::Active => 1,
        Phase::Retiring => 2,
    }
}

/// The key that new pods must have loaded. `denied`: a ready replica does not answer the operator. `current` is what
/// the existing pods require.
///
/// It stays as long as the set meets it, because a change of it replaces all pods.
pub(crate) fn decide_required_key(
    ledger: &Ledger,
    denied: bool,
    current: Option<RequiredKey>,
    now: i64,
) -> Option<RequiredKey> {
    let is_late = |since: Option<i64>| since.is_some_and(|since| now - since > PATIENCE);
    let of_published = ledger
        .published()
        .filter(|key| key.notes.loaded_since.is_none() && is_late(key.notes.since))
        .map(|key| RequiredKey { kid: key.kid.clone(), phase: Phase::Published });
    let signs_on = ledger.entries.iter().any(|entry| {
        entry.phase == Phase::Retiring && entry.notes.signed_until.is_none() && is_late(entry.notes.since)
    });
    let of_active = ledger
        .active()
        .filter(|_| signs_on)
        .map(|key| RequiredKey { kid: key.kid.clone(), phase: Phase::Active });
    of_published.or(of_active).filter(|_| denied).or(current.filter(|current| current.is_met_by(ledger)))
}

#[cfg(test)]
mod tests {
    use latchkey_keyset::{Algorithm, KeyNotes, SetNotes};

    use super::super::ledger::Entry;
    use super::*;

    fn entry(kid: &str, phase: Phase, since: i64) -> Entry {
        let notes = KeyNotes { since: Some(since), ..KeyNotes::default() };
        Entry { kid: kid.to_owned(), algorithm: Algorithm::Es256, phase, notes }
    }

    fn ledger(entries: Vec<Entry>) -> Ledger {
        Ledger { entries, notes: SetNotes::default() }
    }

    fn text(required: Option<RequiredKey>) -> Option<String> {
        required.map(|required| required.to_text())
    }

    #[test]
    fn a_late_step_is_proved_by_restarts_only_if_replicas_do_not_answer() {
        let publishes = ledger(vec![entry("a", Phase::Active, 0), entry("b", Phase::Published, 1000)]);
        let decide = |set: &Ledger, denied, now| text(decide_required_key(set, denied, None, now));
        assert_eq!(decide(&publishes, true, 1121).as_deref(), Some("published.b"));
        assert_eq!(decide(&publishes, true, 1120), None);
        assert_eq!(decide(&publishes, false, 9999), None);
        let retires = ledger(vec![entry("a", Phase::Retiring, 2000), entry("b", Phase::Active, 2000)]);
        assert_eq!(decide(&retires, true, 2121).as_deref(), Some("active.b"));
        let steady = ledger(vec![entry("b", Phase::Active, 2000)]);
        assert_eq!(decide(&steady, true, 9999), None);
    }

    #[test]
    fn a_requirement_stays_as_long_as_the_set_meets_it() {
        let current = RequiredKey::parse("published.b");
        let keep = |set: &Ledger| text(decide_required_key(set, false, current.clone(), 9999));
        for phase in [Phase::Published, Phase::Active, Phase::Retiring] {
            assert_eq!(keep(&ledger(vec![entry("b", phase, 0)])).as_deref(), Some("published.b"));
        }
        assert_eq!(keep(&ledger(vec![entry("c", Phase::Active, 0)])), None);
        let active = RequiredKey::parse("active.b");
        let published = ledger(vec![entry("b", Phase::Published, 0)]);
        assert_eq!(decide_required_key(&published, false, active, 9999), None);
    }

    #[test]
    fn an_annotation_is_read_as_it_was_written() {
        for text in ["published.k1", "active.a-_b"] {
            assert_eq!(RequiredKey::parse(text).unwrap().to_text(), text);
        }
        for text in ["", "active", "active.", "retiring.k", "k.active"] {
            assert_eq!(RequiredKey::parse(text), None, "{text}");
        }
    }
}

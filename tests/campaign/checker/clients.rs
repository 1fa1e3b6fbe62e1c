//! OAuth clients: no replica accepts a token or a secret that was removed from the registry or revoked, no acknowledged
//! revocation is lost, and nobody is refused who is registered.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Promise, Violation};
use crate::history::{History, Moment, Op, Record, RegistryVersion};

/// When a credential is in the registries of the replicas.
#[derive(Debug, Clone, Copy, Default)]
struct Life {
    /// From when on every replica has it.
    everywhere: Option<Moment>,
    /// From when on some replica may be without it again.
    leaving: Option<Moment>,
    /// From when on no replica has it any more.
    nowhere: Option<Moment>,
}

pub fn check(history: &History, found: &mut Vec<Violation>) {
    let lives = lives(&history.registries);
    let mut revocations: HashMap<Uuid, Vec<&Record>> = HashMap::new();
    for record in &history.records {
        if let Op::RevokeClientToken { token, .. } = record.op {
            revocations.entry(token).or_default().push(record);
            if record.is_acknowledged() && !history.finals.revocations.contains(&token) {
                let what = format!("the revocation is not in the database: {record:?}");
                found.push(Violation::new(Promise::AcknowledgedIsKept, what));
            }
        }
    }
    for record in &history.records {
        let Some(credential) = record.op.credential() else { continue };
        let life = lives.get(&credential).copied().unwrap_or_default();
        // Of the presented token. A request for a token presents none, and a revocation may be repeated.
        let revoked = record.session.filter(|_| matches!(record.op, Op::UseClientToken { .. }));
        let revoked = revoked.and_then(|token| revocations.get(&token)).map_or(&[][..], Vec::as_slice);
        match record.accepted {
            Some(true) => check_accepted(record, life, revoked, found),
            Some(false) => check_refused(record, life, revoked, found),
            None => {}
        }
    }
}

fn lives(registries: &[RegistryVersion]) -> HashMap<Uuid, Life> {
    // Who has reported a serial has loaded each earlier registry, or none of them.
    let loaded_from = |at: usize| registries[at..].iter().filter_map(|version| version.loaded).min();
    let mut lives: HashMap<Uuid, Life> = HashMap::new();
    for (at, version) in registries.iter().enumerate() {
        for id in &version.credentials {
            lives.entry(*id).or_insert_with(|| Life { everywhere: loaded_from(at), ..Life::default() });
        }
        for (id, life) in &mut lives {
            if !version.credentials.contains(id) && life.leaving.is_none() {
                life.leaving = Some(version.written);
                life.nowhere = loaded_from(at);
            }
        }
    }
    lives
}

fn check_accepted(record: &Record, life: Life, revocations: &[&Record], found: &mut Vec<Violation>) {
    let mut report =
        |what: &str| found.push(Violation::new(Promise::RevokedIsRefused, format!("{what}: {record:?}")));
    if life.nowhere.is_some_and(|from| record.start > from) {
        report(&format!("a removed credential was accepted ({life:?})"));
    }
    let revoked = revocations.iter().filter(|by| by.is_acknowledged()).map(|by| by.end).min();
    if revoked.is_some_and(|end| record.start > end) {
        report("a revoked token was accepted");
    }
}

fn check_refused(record: &Record, life: Life, revocations: &[&Record], found: &mut Vec<Violation>) {
    let may_be_removed = life.leaving.is_some_and(|from| from < record.end);
    let may_be_unknown = life.everywhere.is_none_or(|from| record.start <= from);
    let may_be_revoked = revocations.iter().any(|by| by.may_have_happened() && by.start < record.end);
    if !may_be_removed && !may_be_unknown && !may_be_revoked {
        let what = format!("a registered client was refused ({life:?}): {record:?}");
        found.push(Violation::new(Promise::ClientsAreServed, what));
    }
}

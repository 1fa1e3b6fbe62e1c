//! Forged histories of OAuth clients: the checker accepts a correct one and finds each broken promise.

use std::collections::HashSet;

use uuid::Uuid;

use super::Promise;
use super::forged::{Forged, seconds};
use crate::faults::Fault;
use crate::history::{Endpoint, Op, Outcome, Record, RegistryVersion};

const OLD: Uuid = Uuid::from_u128(101);
const NEW: Uuid = Uuid::from_u128(102);
const TOKEN: Uuid = Uuid::from_u128(201);
const USE: Op = Op::UseClientToken { endpoint: Endpoint::Verify, credential: OLD };
const REVOKE: Op = Op::RevokeClientToken { token: TOKEN, credential: OLD };
const REQUEST: Op = Op::ClientToken { credential: OLD };

fn registry(forged: &mut Forged, written: f64, loaded: Option<f64>, credentials: &[Uuid]) {
    let registries = &mut forged.0.registries;
    registries.push(RegistryVersion {
        serial: registries.len() as u64 + 1,
        written: seconds(written),
        loaded: loaded.map(seconds),
        credentials: credentials.iter().copied().collect::<HashSet<_>>(),
    });
}

/// A client got a token, and its secret was rotated; at 10 s its old secret was removed.
fn forged() -> Forged {
    let mut forged = Forged::new();
    registry(&mut forged, 1.0, Some(2.0), &[OLD]);
    forged.by(3.0, TOKEN, REQUEST, 200);
    registry(&mut forged, 4.0, Some(5.0), &[NEW, OLD]);
    registry(&mut forged, 10.0, Some(12.0), &[NEW]);
    forged
}

fn revoke(forged: &mut Forged, start: f64) -> &mut Record {
    forged.0.finals.revocations.insert(TOKEN);
    forged.by(start, TOKEN, REVOKE, 200)
}

#[test]
fn a_correct_history_breaks_nothing() {
    let mut forged = forged();
    forged.by(6.0, TOKEN, USE, 200);
    // While the removal is loaded, either answer is correct.
    forged.by(10.5, TOKEN, USE, 200);
    forged.by(11.0, TOKEN, USE, 401);
    forged.by(11.0, TOKEN, USE, 200);
    forged.add(11.9, REQUEST, 200);
    forged.by(13.0, TOKEN, USE, 401);
    forged.add(13.0, REQUEST, 401);
    assert_eq!(forged.broken(), []);
}

#[test]
fn what_every_replica_has_removed_is_accepted_by_none() {
    for op in [USE, REQUEST, Op::RevokeClientToken { token: Uuid::from_u128(202), credential: OLD }] {
        let mut forged = forged();
        forged.0.finals.revocations.insert(Uuid::from_u128(202));
        forged.by(12.1, TOKEN, op, 200);
        assert_eq!(forged.broken(), [Promise::RevokedIsRefused], "{op:?}");
    }
    // A later registry that was loaded shows it, too.
    let mut forged = Forged::new();
    registry(&mut forged, 1.0, Some(2.0), &[OLD]);
    registry(&mut forged, 4.0, None, &[]);
    registry(&mut forged, 6.0, Some(8.0), &[NEW]);
    forged.by(7.0, TOKEN, USE, 200);
    assert_eq!(forged.broken(), []);
    forged.by(8.1, TOKEN, USE, 200);
    assert_eq!(forged.broken(), [Promise::RevokedIsRefused]);
}

#[test]
fn a_revoked_token_is_accepted_by_none_and_its_revocation_is_kept() {
    let mut correct = forged();
    revoke(&mut correct, 6.0);
    correct.by(6.05, TOKEN, USE, 200);
    correct.by(7.0, TOKEN, USE, 401);
    assert_eq!(correct.broken(), []);
    correct.by(8.0, TOKEN, USE, 200);
    assert_eq!(correct.broken(), [Promise::RevokedIsRefused]);
    let mut lost = forged();
    revoke(&mut lost, 6.0);
    lost.0.finals.revocations.clear();
    assert_eq!(lost.broken(), [Promise::AcknowledgedIsKept]);
    let mut unaudited = forged();
    let id = revoke(&mut unaudited, 6.0).id;
    unaudited.0.finals.audited.remove(&id);
    assert_eq!(unaudited.broken(), [Promise::AcknowledgedIsKept]);
}

#[test]
fn a_revocation_without_a_response_proves_nothing() {
    for answer in [200, 401] {
        let mut forged = forged();
        forged.fault(Fault::PostgresCutAtCommit, 5.0, 7.0);
        let unclear = forged.by(6.0, TOKEN, REVOKE, 503);
        unclear.outcome = Outcome::Answered { status: 503, retry_after: true };
        forged.by(7.0, TOKEN, USE, answer);
        assert_eq!(forged.broken(), [], "{answer}");
    }
}

#[test]
fn a_registered_client_that_is_refused_is_found() {
    for op in [USE, REQUEST, REVOKE] {
        let mut forged = forged();
        forged.by(6.0, TOKEN, op, 401);
        assert_eq!(forged.broken(), [Promise::ClientsAreServed], "{op:?}");
    }
    // Not every replica has loaded the new secret.
    let mut early = forged();
    early.add(4.5, Op::ClientToken { credential: NEW }, 401);
    assert_eq!(early.broken(), []);
    early.add(5.5, Op::ClientToken { credential: NEW }, 401);
    assert_eq!(early.broken(), [Promise::ClientsAreServed]);
}

#[test]
fn a_damaged_registry_excuses_clients_only() {
    for (op, broken) in [(REQUEST, vec![]), (Op::Use(Endpoint::Me), vec![Promise::OrderlyErrors])] {
        let mut forged = forged();
        forged.fault(Fault::RegistryFileCorrupt, 5.0, 7.0);
        forged.add(6.0, op, 503);
        assert_eq!(forged.broken(), broken, "{op:?}");
    }
}

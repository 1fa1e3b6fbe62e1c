//! Whether all replicas trust Redis again when faults end, and whether a stream of logouts prevents that.

use std::collections::HashSet;

use crate::canonical::canonical;
use crate::state::{Ends, REPLICAS, REPLICAS_U8, Refill, Session, State};
use crate::steps::{Protocol, Step};

/// Rounds until trust returns at the latest.
const ROUNDS: usize = 20;

/// Whether all replicas come to trust node 0 from this state on: each does its work in turn, and ends a session all the time.
/// `known` has states from which they do.
pub fn recovers(protocol: &Protocol, start: &State, known: &mut HashSet<State>) -> bool {
    let (mut state, mut path) = (start.clone(), Vec::new());
    for _ in 0..ROUNDS {
        if known.contains(&state) || all_trust(protocol, &state) {
            known.extend(path);
            return true;
        }
        path.push(state.clone());
        for replica in 0..REPLICAS {
            work(protocol, &mut state, replica);
        }
        go(protocol, &mut state, Step::Announce);
        go(protocol, &mut state, Step::Tick);
        for replica in 0..REPLICAS_U8 {
            go(protocol, &mut state, Step::Fetch { replica });
        }
        state = canonical(state);
    }
    false
}

fn all_trust(protocol: &Protocol, state: &State) -> bool {
    let facts = protocol.facts(state);
    (0..REPLICAS).all(|replica| facts.trusts(replica, state.nodes[0].data.marker))
}

fn go(protocol: &Protocol, state: &mut State, step: Step) {
    if let Some(after) = protocol.take(state, step) {
        *state = after;
    }
}

fn work(protocol: &Protocol, state: &mut State, replica: usize) {
    let number = u8::try_from(replica).expect("it is small");
    if state.replicas[replica].connection.is_some_and(|connection| connection.node != 0) {
        state.disconnect(replica);
    }
    go(protocol, state, Step::Connect { replica: number, node: 0 });
    go(protocol, state, Step::Fetch { replica: number });
    for _ in 0..3 {
        if protocol.sweeps {
            go(protocol, state, Step::Sweep { replica: number });
        }
        if protocol.facts(state).is_complete(replica) && state.replicas[replica].refill == Refill::Idle {
            continue;
        }
        go(protocol, state, Step::Refill { replica: number });
        end_another_session(protocol, state, replica);
    }
}

/// Announces the end of a session that the state does not have.
fn end_another_session(protocol: &Protocol, state: &mut State, replica: usize) {
    let ends = Ends { cutoff: false, revocation: true };
    let mut other = State { session: Session::Unanswered, ends, ..state.clone() };
    let number = u8::try_from(replica).expect("it is small");
    go(protocol, &mut other, Step::EndSession { replica: number });
    // Until it is answered, or has withdrawn the trust and waits.
    for _ in 0..5 {
        go(protocol, &mut other, Step::Announce);
    }
    (state.trusted, state.candidate) = (other.trusted, other.candidate);
    state.replicas[replica].seen = other.replicas[replica].seen;
}

//! What a replica does on its own: refilling Redis, sweeping, and announcing the end of the session.

use latchkey_protocol::lease::SWEEP_TRUST;

use crate::facts::Facts;
use crate::state::{Announcement, Connection, DataId, Refill, Replica, Session, State, Sweep, TokenCheck};
use crate::steps::{Omitted, Protocol};

impl Protocol {
    pub fn refill(&self, state: &mut State, replica: usize) -> Option<()> {
        let connection = state.replicas[replica].connection?;
        let ends = state.ends;
        let (account, read_before) = (self.account_key(), self.omits(Omitted::CutoffsBeforeRevocations));
        let data = &mut state.nodes[usize::from(connection.node)].data;
        let marks_last = self.omits(Omitted::MarkerBeforeCopy);
        let names_last = self.omits(Omitted::CandidateBeforeCopy);
        let next = match state.replicas[replica].refill {
            Refill::Idle => {
                self.fetch(state, replica);
                // The loop that refills also sweeps.
                let sweeps = state.replicas[replica].sweep != Sweep::Idle;
                if sweeps || state.lock.is_some() || self.facts(state).is_complete(replica) {
                    return None;
                }
                state.lock = Some(u8::try_from(replica).ok()?);
                self.withdraw(state);
                let left =
                    if self.omits(Omitted::WaitOfRefill) { 0 } else { self.facts(state).wait(replica) };
                Refill::Waiting { left, latest: true }
            }
            Refill::Waiting { left: 1.., .. } => return None,
            Refill::Waiting { left: 0, latest } => {
                let epoch = state.new_epoch(connection.id);
                if !marks_last {
                    state.nodes[usize::from(connection.node)].data.marker = epoch;
                }
                if names_last { Refill::Reading { epoch } } else { Refill::Naming { epoch, latest } }
            }
            Refill::Naming { epoch, latest } => {
                if !self.name_candidate(state, epoch, latest) {
                    state.give_up_refill(replica);
                    return Some(());
                }
                Refill::Reading { epoch }
            }
            Refill::Reading { epoch } if self.cutoff => Refill::Marking { epoch, begun: 0, read: ends },
            Refill::Reading { epoch } => Refill::Copying { epoch, begun: 0, session: ends.revocation },
            Refill::Marking { epoch, begun, read } => {
                let (first, second) = if read_before { (ends, read) } else { (read, ends) };
                if first.cutoff {
                    data.account = account;
                }
                Refill::Copying { epoch, begun, session: second.revocation }
            }
            Refill::Copying { epoch, begun, session } => {
                data.has_session |= session;
                Refill::Trusting { epoch, begun, session }
            }
            Refill::Trusting { epoch, begun, session } => {
                if marks_last {
                    data.marker = epoch;
                }
                let may_trust = !names_last || self.name_candidate(state, epoch, true);
                if may_trust && self.trust(state, epoch) {
                    let it = &mut state.replicas[replica];
                    it.cursor = session;
                    if let Some(connection) = &mut it.connection {
                        connection.swept = (begun < self.ticks(SWEEP_TRUST)).then_some(begun);
                    }
                }
                state.give_up_refill(replica);
                return Some(());
            }
        };
        state.replicas[replica].refill = next;
        Some(())
    }

    fn name_candidate(&self, state: &mut State, epoch: u8, latest: bool) -> bool {
        let latest = latest || self.omits(Omitted::LatestWithdrawal);
        let mut named = false;
        (state.trusted, state.candidate) = self.facts(state).after(|record, facts| {
            named = record.begin_refill(&facts.name_of(epoch), &Facts::withdrawn(latest));
        });
        named
    }

    fn trust(&self, state: &mut State, epoch: u8) -> bool {
        let mut trusted = false;
        (state.trusted, state.candidate) = self.facts(state).after(|record, facts| {
            trusted = record.trust(&facts.name_of(epoch), chrono::DateTime::UNIX_EPOCH);
        });
        if trusted {
            state.forget_withdrawals();
        }
        trusted
    }

    pub fn sweep(&self, state: &mut State, replica: usize) -> Option<()> {
        let ends = state.ends;
        let read_before = self.omits(Omitted::CutoffsBeforeRevocations);
        state.replicas[replica].connection?;
        let copying = |begun, session: bool, replica: &Replica| {
            let copied = session && !replica.cursor;
            Sweep::Copying { begun, session, copied }
        };
        state.replicas[replica].sweep = match state.replicas[replica].sweep {
            // The loop that sweeps also refills.
            Sweep::Idle if state.replicas[replica].refill != Refill::Idle => return None,
            Sweep::Idle if self.cutoff => Sweep::Marking { begun: 0, read: ends },
            Sweep::Idle => copying(0, ends.revocation, &state.replicas[replica]),
            Sweep::Marking { begun, read } => {
                let (first, second) = if read_before { (ends, read) } else { (read, ends) };
                if first.cutoff && !self.omits(Omitted::CutoffsInSweeps) {
                    state.node_of(replica)?.data.account = self.account_key();
                }
                copying(begun, second.revocation, &state.replicas[replica])
            }
            Sweep::Copying { begun, session, copied } => {
                state.node_of(replica)?.data.has_session |= copied;
                Sweep::Completing { begun, session }
            }
            Sweep::Completing { begun, session } => {
                self.fetch(state, replica);
                let is_complete = self.facts(state).is_complete(replica);
                let it = &mut state.replicas[replica];
                if is_complete || self.omits(Omitted::CompletenessOfSweep) {
                    it.cursor = session;
                }
                if is_complete {
                    it.connection.as_mut()?.swept = Some(begun);
                }
                Sweep::Idle
            }
        };
        Some(())
    }

    pub fn announce(&self, state: &mut State) -> Option<()> {
        let Session::Announcing { by, step } = state.session else { return None };
        let replica = usize::from(by);
        let reads_first = self.omits(Omitted::MarkerInAnnouncements);
        let step = match step {
            Announcement::Committed { read } => match state.node_of(replica) {
                Some(node) => {
                    node.data.has_session |= read.revocation;
                    if read.cutoff {
                        node.data.account = self.account_key();
                    }
                    Announcement::Written
                }
                None => Announcement::Failed,
            },
            Announcement::Written if reads_first => {
                state.session = Session::Answered;
                return Some(());
            }
            Announcement::Written => {
                let marker = state.node_of(replica)?.data.marker;
                Announcement::Read { marker, id: state.replicas[replica].connection?.id }
            }
            Announcement::Read { marker, id } => {
                if self.facts(state).trusts_over(replica, over(id), marker) {
                    state.session = Session::Answered;
                    return Some(());
                }
                Announcement::Untrusted { marker, id }
            }
            Announcement::Untrusted { marker, id } => {
                self.fetch(state, replica);
                let covers = self.facts(state).covers(over(id), marker);
                let ignored = self.omits(Omitted::CandidateInAnnouncements) && state.trusted == 0;
                if covers && !ignored {
                    state.session = Session::Answered;
                    return Some(());
                }
                Announcement::Failed
            }
            Announcement::Failed => {
                self.withdraw(state);
                let waits = !self.omits(Omitted::WaitOfAnnouncement);
                Announcement::Waiting { left: if waits { self.facts(state).wait(replica) } else { 0 } }
            }
            Announcement::Waiting { left: 0 } => {
                state.session = Session::Answered;
                return Some(());
            }
            Announcement::Waiting { .. } => return None,
        };
        state.session = Session::Announcing { by, step };
        Some(())
    }
}

/// The connection over which an announcement was written, which may have ended since.
fn over(id: DataId) -> Connection {
    Connection { node: 0, id, verified: 0, swept: Some(0), check: TokenCheck::None }
}

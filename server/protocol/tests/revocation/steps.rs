//! What can happen next: steps of replicas, faults, and time.

use std::time::Duration;

use crate::explorer::Model;
use crate::facts::Facts;
use crate::state::{
    Age, Announcement, Connection, Data, DataId, NODES, Node, REPLICAS, Refill, Seen, Session, State, Sweep,
    TokenCheck, canonical,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    // A replica.
    Connect {
        replica: u8,
        node: u8,
    },
    Fetch {
        replica: u8,
    },
    Verify {
        replica: u8,
    },
    Refill {
        replica: u8,
    },
    Sweep {
        replica: u8,
    },
    /// Ends the session in PostgreSQL, at the first or another attempt.
    EndSession {
        replica: u8,
    },
    Announce,
    /// Begins a check of a token of the ended session, or reads Redis for it.
    Check {
        replica: u8,
    },
    /// A revocation of another session could not be announced.
    Withdraw,
    // Faults.
    Disconnect {
        replica: u8,
    },
    Crash {
        replica: u8,
    },
    /// PostgreSQL does not answer the announcement.
    Fail,
    /// The right to refill ended with the connection to PostgreSQL.
    LoseRight,
    Flush {
        node: u8,
    },
    /// A node restarts, empty or with older data.
    Restart {
        node: u8,
        empty: bool,
    },
    /// The standby, which has older data, becomes a primary. The old one goes on.
    Promote,
    /// Node 0 takes over older data and becomes a primary again, and its clients stay connected.
    Replace,
    // The rest.
    /// The standby receives what node 0 has, or node 0 saves a snapshot.
    Copy,
    Tick,
}

/// A part of the protocol to omit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Omitted {
    MarkerInChecks,
    MarkerInAnnouncements,
    /// The marker is set after the copy is complete.
    MarkerBeforeCopy,
    IdentityInEpoch,
    ExpiryOfLease,
    WaitOfAnnouncement,
    WaitOfRefill,
    /// An announcement that finds no trusted Redis withdraws the trust, whatever is being refilled.
    CandidateInAnnouncements,
    /// A withdrawal leaves the candidate.
    CandidateEndsWithTrust,
    /// The candidate is named after the revocations were read.
    CandidateBeforeCopy,
    /// Another attempt to end a session is answered without an announcement.
    AnnouncementOfEarlierEnd,
    SweepOfNewConnection,
    /// A check compares the marker only with the epoch that is trusted when the answer has arrived.
    TrustBeforeCheck,
    ExpiryOfSweep,
    /// The next sweep goes on from one that did not find the trusted copy.
    CompletenessOfSweep,
    ExpiryOfVerification,
}

/// What is explored.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    pub omitted: Option<Omitted>,
    /// The unit of time.
    pub tick: Duration,
    /// Sweeps and verifications grow old. Otherwise they last, which allows more.
    pub checks_expire: bool,
    /// The end of the session is announced. Otherwise the replica crashes as soon as it is committed.
    pub announces: bool,
    /// Replicas sweep. Without, they trust Redis as if they had: sweeps only add to what Redis has, so this allows more.
    pub sweeps: bool,
    /// How many faults may happen.
    pub faults: u8,
    /// The fault is that clients of Redis stay connected while its data is replaced.
    pub replaces: bool,
}

/// After so many ticks nothing is trusted any more, and nothing is awaited.
const OLD: Age = 2;

impl Model for Protocol {
    type State = State;
    type Step = Step;

    fn initial(&self) -> State {
        canonical(State::initial(self.faults))
    }

    fn add_next(&self, state: &State, next: &mut Vec<(Step, State)>) {
        for replica in 0..REPLICAS as u8 {
            for node in 0..NODES as u8 {
                self.add(state, Step::Connect { replica, node }, next);
            }
            self.add(state, Step::Fetch { replica }, next);
            if self.replaces {
                self.add(state, Step::Verify { replica }, next);
            }
            self.add(state, Step::Refill { replica }, next);
            if self.sweeps {
                self.add(state, Step::Sweep { replica }, next);
            }
            self.add(state, Step::EndSession { replica }, next);
            if self.withdraws() {
                self.add(state, Step::Check { replica }, next);
            }
            self.add(state, Step::Disconnect { replica }, next);
            self.add(state, Step::Crash { replica }, next);
        }
        for node in 0..NODES as u8 {
            self.add(state, Step::Flush { node }, next);
            self.add(state, Step::Restart { node, empty: true }, next);
            self.add(state, Step::Restart { node, empty: false }, next);
        }
        for step in [Step::Announce, Step::Fail, Step::LoseRight, Step::Promote, Step::Replace, Step::Tick] {
            self.add(state, step, next);
        }
        if self.withdraws() {
            self.add(state, Step::Withdraw, next);
        }
        if state.faults > 0 {
            self.add(state, Step::Copy, next);
        }
    }

    fn broken_promise(&self, state: &State) -> Option<&'static str> {
        if state.hidden > 0 {
            return None;
        }
        let accepted = (0..REPLICAS).any(|replica| self.accepts(state, replica));
        if state.session == Session::Answered && accepted {
            return Some("no replica accepts the token after the response");
        }
        let bound = self.ticks(latchkey_protocol::lease::SWEEP_TRUST);
        if !self.announces && state.has_ended() && state.ended >= bound && accepted {
            return Some("no replica accepts the token for long after the end of the session");
        }
        None
    }
}

impl Protocol {
    fn omits(&self, part: Omitted) -> bool {
        self.omitted == Some(part)
    }

    pub fn facts<'a>(&self, state: &'a State) -> Facts<'a> {
        Facts::new(state, self.tick, !self.omits(Omitted::IdentityInEpoch))
    }

    /// Whether other sessions end too, and checks take time. The smaller models leave that out.
    fn withdraws(&self) -> bool {
        !self.checks_expire
    }

    fn ticks(&self, duration: Duration) -> Age {
        u8::try_from(duration.as_nanos().div_ceil(self.tick.as_nanos())).expect("a few ticks")
    }

    /// Whether this replica accepts the token of the session on what Redis says, now or has said since the response.
    fn accepts(&self, state: &State, replica: usize) -> bool {
        let Some(connection) = state.replicas[replica].connection else { return false };
        let facts = self.facts(state);
        let trusts = |marker| match state.replicas[replica].seen {
            Seen::Trusted { epoch, .. } if self.omits(Omitted::MarkerInChecks) => {
                facts.trusts(replica, epoch)
            }
            _ => facts.trusts(replica, marker),
        };
        let data = state.nodes[usize::from(connection.node)].data;
        (!data.has_session && trusts(data.marker))
            || matches!(connection.check, TokenCheck::Read { marker } if trusts(marker))
    }

    /// Adds the state after this step, if it can happen and changes something.
    fn add(&self, state: &State, step: Step, next: &mut Vec<(Step, State)>) {
        if let Some(after) = self.take(state, step) {
            let after = canonical(after);
            if after != *state {
                next.push((step, after));
            }
        }
    }

    /// The state after this step; `None` if it cannot happen.
    pub fn take(&self, state: &State, step: Step) -> Option<State> {
        let mut after = state.clone();
        match step {
            Step::Connect { replica, node } => {
                let Node { id, .. } = state.nodes[usize::from(node)];
                let it = &mut after.replicas[usize::from(replica)];
                if it.connection.is_some() || id == 0 {
                    return None;
                }
                let swept = (!self.sweeps || self.omits(Omitted::SweepOfNewConnection)).then_some(0);
                it.connection = Some(Connection { node, id, verified: 0, swept, check: TokenCheck::None });
            }
            Step::Fetch { replica } => self.fetch(&mut after, replica.into()),
            Step::Verify { replica } => {
                let replica = usize::from(replica);
                let id = after.node_of(replica)?.id;
                let connection = after.replicas[replica].connection.as_mut()?;
                connection.verified = 0;
                if connection.id != id {
                    after.disconnect(replica);
                }
            }
            Step::Refill { replica } => self.refill(&mut after, replica.into())?,
            Step::Sweep { replica } => self.sweep(&mut after, replica.into())?,
            Step::EndSession { replica } => {
                let announced = Session::Announcing { by: replica, step: Announcement::Committed };
                after.session = match state.session {
                    Session::Active if !self.announces => Session::Unanswered,
                    Session::Active => announced,
                    Session::Unanswered if !self.announces => return None,
                    Session::Unanswered if self.omits(Omitted::AnnouncementOfEarlierEnd) => Session::Answered,
                    Session::Unanswered => announced,
                    Session::Announcing { .. } | Session::Answered => return None,
                };
            }
            Step::Announce => self.announce(&mut after)?,
            Step::Check { replica } => {
                let replica = usize::from(replica);
                let data = after.node_of(replica)?.data;
                let connection = after.replicas[replica].connection.as_mut()?;
                connection.check = match (connection.check, state.replicas[replica].seen) {
                    (TokenCheck::None, _)
                        if state.session == Session::Answered && self.omits(Omitted::TrustBeforeCheck) =>
                    {
                        TokenCheck::Read { marker: if data.has_session { 0 } else { data.marker } }
                    }
                    (TokenCheck::None, Seen::Trusted { epoch, .. })
                        if state.session == Session::Answered
                            && !state.is_checking()
                            && self.facts(state).trusts(replica, epoch) =>
                    {
                        TokenCheck::Begun { epoch }
                    }
                    (TokenCheck::Begun { epoch }, _) if !data.has_session && data.marker == epoch => {
                        TokenCheck::Read { marker: data.marker }
                    }
                    (TokenCheck::None, _) => return None,
                    _ => TokenCheck::None,
                };
            }
            Step::Withdraw => self.withdraw(&mut after),
            Step::Copy => after.older = state.nodes[0].data,
            Step::Tick => self.tick(&mut after),
            _ if self.replaces != (step == Step::Replace) => return None,
            Step::Crash { .. } | Step::Restart { .. } | Step::LoseRight if !self.announces => return None,
            _ => {
                let is_free = !self.announces && matches!(step, Step::Disconnect { .. });
                after.faults = state.faults.checked_sub(u8::from(!is_free))?;
                self.fail(&mut after, step)?;
            }
        }
        Some(after)
    }

    fn fetch(&self, state: &mut State, replica: usize) {
        state.replicas[replica].seen = self.facts(state).fetched(replica);
    }

    fn withdraw(&self, state: &mut State) {
        let now = chrono::DateTime::UNIX_EPOCH;
        let candidate = state.candidate;
        (state.trusted, state.candidate) = self.facts(state).after(|record, _| record.withdraw(now));
        if self.omits(Omitted::CandidateEndsWithTrust) {
            state.candidate = candidate;
        }
    }

    fn refill(&self, state: &mut State, replica: usize) -> Option<()> {
        let connection = state.replicas[replica].connection?;
        let data = &mut state.nodes[usize::from(connection.node)].data;
        let ended = state.session != Session::Active;
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
                Refill::Waiting { left }
            }
            Refill::Waiting { left: 1.. } => return None,
            Refill::Waiting { left: 0 } => {
                let epoch = state.new_epoch(connection.id);
                if !marks_last {
                    state.nodes[usize::from(connection.node)].data.marker = epoch;
                }
                if names_last { Refill::Reading { epoch } } else { Refill::Naming { epoch } }
            }
            Refill::Naming { epoch } => {
                if !self.name_candidate(state, epoch) {
                    state.give_up_refill(replica);
                    return Some(());
                }
                Refill::Reading { epoch }
            }
            Refill::Reading { epoch } => Refill::Copying { epoch, begun: 0, session: ended },
            Refill::Copying { epoch, begun, session } => {
                data.has_session |= session;
                Refill::Trusting { epoch, begun, session }
            }
            Refill::Trusting { epoch, begun, session } => {
                if marks_last {
                    data.marker = epoch;
                }
                let may_trust = !names_last || self.name_candidate(state, epoch);
                if may_trust && self.trust(state, epoch) {
                    let it = &mut state.replicas[replica];
                    it.cursor = session;
                    if let Some(connection) = &mut it.connection {
                        connection.swept =
                            (begun < self.ticks(latchkey_protocol::lease::SWEEP_TRUST)).then_some(begun);
                    }
                }
                state.give_up_refill(replica);
                return Some(());
            }
        };
        state.replicas[replica].refill = next;
        Some(())
    }

    fn name_candidate(&self, state: &mut State, epoch: u8) -> bool {
        let mut named = false;
        (state.trusted, state.candidate) = self.facts(state).after(|record, facts| {
            named = record.begin_refill(&facts.name_of(epoch));
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

    fn sweep(&self, state: &mut State, replica: usize) -> Option<()> {
        let ended = state.has_ended();
        state.replicas[replica].connection?;
        state.replicas[replica].sweep = match state.replicas[replica].sweep {
            // The loop that sweeps also refills.
            Sweep::Idle if state.replicas[replica].refill != Refill::Idle => return None,
            Sweep::Idle => {
                let copied = ended && !state.replicas[replica].cursor;
                Sweep::Copying { begun: 0, session: ended, copied }
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

    fn announce(&self, state: &mut State) -> Option<()> {
        let Session::Announcing { by, step } = state.session else { return None };
        let replica = usize::from(by);
        let reads_first = self.omits(Omitted::MarkerInAnnouncements);
        let step = match step {
            Announcement::Committed => match state.node_of(replica) {
                Some(node) => {
                    node.data.has_session = true;
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
                if self.facts(state).trusts_over(replica, &over(id), marker) {
                    state.session = Session::Answered;
                    return Some(());
                }
                Announcement::Untrusted { marker, id }
            }
            Announcement::Untrusted { marker, id } => {
                self.fetch(state, replica);
                let covers = self.facts(state).covers(&over(id), marker);
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

    fn fail(&self, state: &mut State, step: Step) -> Option<()> {
        match step {
            Step::Disconnect { replica } => {
                state.replicas[usize::from(replica)].connection?;
                state.disconnect(replica.into());
            }
            Step::Crash { replica } => state.crash(replica.into()),
            Step::Fail => match state.session {
                Session::Announcing { .. } => state.session = Session::Unanswered,
                _ => return None,
            },
            Step::LoseRight => {
                state.lock?;
                state.lock = None;
            }
            Step::Flush { node } => {
                let node = &mut state.nodes[usize::from(node)];
                if node.id == 0 || node.data == Data::default() {
                    return None;
                }
                node.data = Data::default();
            }
            Step::Restart { node, empty } => {
                if state.nodes[usize::from(node)].id == 0 {
                    return None;
                }
                let data = if empty { Data::default() } else { state.older };
                restart(state, node, data);
            }
            Step::Promote => restart(state, 1, state.older),
            Step::Replace => {
                state.nodes[0] = Node { id: state.new_data_id(), data: state.older };
                state.hidden = OLD;
            }
            _ => unreachable!("not a fault: {step:?}"),
        }
        Some(())
    }

    fn tick(&self, state: &mut State) {
        for replica in &mut state.replicas {
            replica.seen = match replica.seen {
                Seen::Trusted { epoch, asked } if self.omits(Omitted::ExpiryOfLease) => {
                    Seen::Trusted { epoch, asked }
                }
                Seen::Trusted { epoch, asked } if asked + 1 < self.ticks(latchkey_protocol::lease::TRUST) => {
                    Seen::Trusted { epoch, asked: asked + 1 }
                }
                Seen::Trusted { .. } | Seen::Nothing => Seen::Nothing,
                Seen::Withdrawn { since } => Seen::Withdrawn { since: OLD.min(since + 1) },
            };
            if let Refill::Waiting { left } = &mut replica.refill {
                *left = left.saturating_sub(1);
            }
            if self.checks_expire {
                self.grow_old(replica);
            }
        }
        if let Session::Announcing { step: Announcement::Waiting { left }, .. } = &mut state.session {
            *left = left.saturating_sub(1);
        }
        state.hidden = state.hidden.saturating_sub(1);
        if !self.announces && state.has_ended() {
            state.ended = OLD.min(state.ended + 1);
        }
    }

    fn grow_old(&self, replica: &mut crate::state::Replica) {
        let older = |age: Age| OLD.min(age + 1);
        if let Some(connection) = &mut replica.connection {
            if self.replaces && !self.omits(Omitted::ExpiryOfVerification) {
                connection.verified = older(connection.verified);
            }
            if !self.replaces && !self.omits(Omitted::ExpiryOfSweep) {
                connection.swept = connection.swept.map(older).filter(|age| *age < OLD);
            }
        }
        if self.replaces {
            return;
        }
        match &mut replica.refill {
            Refill::Copying { begun, .. } | Refill::Trusting { begun, .. } => *begun = older(*begun),
            Refill::Idle | Refill::Waiting { .. } | Refill::Naming { .. } | Refill::Reading { .. } => {}
        }
        match &mut replica.sweep {
            Sweep::Copying { begun, .. } | Sweep::Completing { begun, .. } => *begun = older(*begun),
            Sweep::Idle => {}
        }
    }
}

/// The connection over which an announcement was written, which may have ended since.
fn over(id: DataId) -> Connection {
    Connection { node: 0, id, verified: 0, swept: Some(0), check: TokenCheck::None }
}

/// The node has this data under another identity, and its clients are disconnected.
fn restart(state: &mut State, node: u8, data: Data) {
    state.nodes[usize::from(node)] = Node { id: state.new_data_id(), data };
    for replica in 0..REPLICAS {
        if state.replicas[replica].connection.is_some_and(|connection| connection.node == node) {
            state.disconnect(replica);
        }
    }
}

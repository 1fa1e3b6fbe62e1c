//! What can happen next: steps of replicas, faults, and time.

use std::time::Duration;

use latchkey_protocol::lease::{ACCOUNT_KEY, SWEPT_AFTER, decide_check};

use crate::canonical::canonical;
use crate::explorer::Model;
use crate::facts::Facts;
use crate::state::{
    Age, Announcement, Connection, Ends, NODES_U8, Node, REPLICAS, REPLICAS_U8, Seen, Session, State,
    TokenCheck,
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
    /// The session, which is over because of a cutoff, is ended with a revocation, and the cutoff is removed.
    EndOneByOne,
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
    /// A refill begins although a Redis was trusted, and withdrawn, after it waited.
    LatestWithdrawal,
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
    /// Ends are not announced again as soon as half of the time has passed after which they need not be.
    AnnouncementOfRecentEnds,
    /// Sweeps do not set the keys of accounts with a cutoff.
    CutoffsInSweeps,
    /// Sweeps and refills read the revocations first.
    CutoffsBeforeRevocations,
    /// The cutoff is removed before the session has a revocation.
    RevocationBeforeRemoval,
    /// The key of the account expires before every replica has swept.
    LifetimeOfAccountKey,
}

/// What is explored.
#[expect(clippy::struct_excessive_bools, reason = "each leaves out one thing")]
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
    /// The session is ended with all of its account, by a cutoff.
    pub cutoff: bool,
    /// Two nodes of Redis are primaries, and the fault is that two replicas have the right to refill.
    pub split: bool,
}

/// After so many ticks nothing is trusted any more, and nothing is awaited.
pub const OLD: Age = 2;

impl Model for Protocol {
    type State = State;
    type Step = Step;

    fn initial(&self) -> State {
        canonical(State::initial(self.faults, self.split))
    }

    fn add_next(&self, state: &State, next: &mut Vec<(Step, State)>) {
        for replica in 0..REPLICAS_U8 {
            for node in 0..NODES_U8 {
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
        for node in 0..NODES_U8 {
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
        if self.cutoff {
            self.add(state, Step::EndOneByOne, next);
        }
        if state.faults > 0 && !self.is_small() {
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
        let bound = self.ticks(SWEPT_AFTER);
        if !self.announces && state.has_ended() && state.ended >= bound && accepted {
            return Some("no replica accepts the token for long after the end of the session");
        }
        None
    }
}

impl Protocol {
    pub fn omits(&self, part: Omitted) -> bool {
        self.omitted == Some(part)
    }

    pub fn facts<'a>(&self, state: &'a State) -> Facts<'a> {
        Facts::new(state, self.tick, !self.omits(Omitted::IdentityInEpoch))
    }

    /// Whether only replicas fail. The models of late announcements and of cutoffs leave the rest to the others.
    fn is_small(&self) -> bool {
        self.cutoff || (self.announces && self.sweeps)
    }

    /// Whether other sessions end too, and checks take time. The smaller models leave that out.
    fn withdraws(&self) -> bool {
        !self.checks_expire
    }

    /// The lifetime of the key of an account in ticks. What lasts longer than sweeps are trusted lasts long enough, so the model
    /// assumes less than the server's lifetime, which allows more.
    pub fn account_key(&self) -> Age {
        if self.omits(Omitted::LifetimeOfAccountKey) { 1 } else { self.ticks(ACCOUNT_KEY).min(OLD) }
    }

    pub fn ticks(&self, duration: Duration) -> Age {
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
        (decide_check(data.has_session, data.account > 0) == Some(false) && trusts(data.marker))
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
                if state.session == Session::Active {
                    after.ends = Ends { cutoff: self.cutoff, revocation: !self.cutoff };
                }
                let is_early = self.omits(Omitted::AnnouncementOfRecentEnds);
                let known_after = self.ticks(if is_early { SWEPT_AFTER / 2 } else { SWEPT_AFTER });
                let announced =
                    Session::Announcing { by: replica, step: Announcement::Committed { read: after.ends } };
                after.session = match state.session {
                    Session::Active if !self.announces => Session::Unanswered,
                    Session::Unanswered if !self.announces => return None,
                    Session::Unanswered if self.sweeps && state.ended >= known_after => Session::Answered,
                    Session::Unanswered if self.omits(Omitted::AnnouncementOfEarlierEnd) => Session::Answered,
                    Session::Active | Session::Unanswered => announced,
                    Session::Announcing { .. } | Session::Answered => return None,
                };
            }
            Step::Announce => self.announce(&mut after)?,
            Step::EndOneByOne if state.ends.cutoff => {
                let revocation = !self.omits(Omitted::RevocationBeforeRemoval);
                after.ends = Ends { cutoff: false, revocation };
            }
            Step::EndOneByOne => return None,
            Step::Check { replica } => {
                let replica = usize::from(replica);
                let data = after.node_of(replica)?.data;
                let connection = after.replicas[replica].connection.as_mut()?;
                connection.check = match (connection.check, state.replicas[replica].seen) {
                    (TokenCheck::None, _)
                        if state.session == Session::Answered && self.omits(Omitted::TrustBeforeCheck) =>
                    {
                        let is_accepted = decide_check(data.has_session, data.account > 0) == Some(false);
                        TokenCheck::Read { marker: if is_accepted { data.marker } else { 0 } }
                    }
                    (TokenCheck::None, Seen::Trusted { epoch, .. })
                        if state.session == Session::Answered
                            && !state.is_checking()
                            && self.facts(state).trusts(replica, epoch) =>
                    {
                        TokenCheck::Begun { epoch }
                    }
                    (TokenCheck::Begun { epoch }, _)
                        if decide_check(data.has_session, data.account > 0) == Some(false)
                            && data.marker == epoch =>
                    {
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
            _ if self.split && step != Step::LoseRight => return None,
            _ if self.is_small()
                && !matches!(step, Step::Crash { .. } | Step::Fail | Step::Disconnect { .. }) =>
            {
                return None;
            }
            Step::Disconnect { .. } if self.is_small() && self.announces => return None,
            _ => {
                let is_free = !self.announces && matches!(step, Step::Disconnect { .. });
                after.faults = state.faults.checked_sub(u8::from(!is_free))?;
                Self::fail(&mut after, step)?;
            }
        }
        Some(after)
    }

    pub fn fetch(&self, state: &mut State, replica: usize) {
        state.replicas[replica].seen = self.facts(state).fetched(replica);
    }

    pub fn withdraw(&self, state: &mut State) {
        let now = chrono::DateTime::UNIX_EPOCH;
        let candidate = state.candidate;
        (state.trusted, state.candidate) = self.facts(state).after(|record, _| record.withdraw(now));
        if self.omits(Omitted::CandidateEndsWithTrust) {
            state.candidate = candidate;
        }
    }
}

//! Faults, and the passing of time.

use latchkey_protocol::lease::TRUST;

use crate::state::{Age, Announcement, Data, Node, REPLICAS, Refill, Replica, Seen, Session, State, Sweep};
use crate::steps::{OLD, Omitted, Protocol, Step};

impl Protocol {
    pub fn fail(state: &mut State, step: Step) -> Option<()> {
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

    pub fn tick(&self, state: &mut State) {
        for replica in &mut state.replicas {
            replica.seen = match replica.seen {
                Seen::Trusted { epoch, asked } if self.omits(Omitted::ExpiryOfLease) => {
                    Seen::Trusted { epoch, asked }
                }
                Seen::Trusted { epoch, asked } if asked + 1 < self.ticks(TRUST) => {
                    Seen::Trusted { epoch, asked: asked + 1 }
                }
                Seen::Trusted { .. } | Seen::Nothing => Seen::Nothing,
                Seen::Withdrawn { since } => Seen::Withdrawn { since: OLD.min(since + 1) },
            };
            if let Refill::Waiting { left, .. } = &mut replica.refill {
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
        if self.sweeps && state.has_ended() {
            state.ended = OLD.min(state.ended + 1);
        }
        let data = state.nodes.iter_mut().map(|node| &mut node.data).chain([&mut state.older]);
        data.for_each(|data| data.account = data.account.saturating_sub(1));
    }

    fn grow_old(&self, replica: &mut Replica) {
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
            Refill::Marking { begun, .. }
            | Refill::Copying { begun, .. }
            | Refill::Trusting { begun, .. } => {
                *begun = older(*begun);
            }
            Refill::Idle | Refill::Waiting { .. } | Refill::Naming { .. } | Refill::Reading { .. } => {}
        }
        match &mut replica.sweep {
            Sweep::Marking { begun, .. } | Sweep::Copying { begun, .. } | Sweep::Completing { begun, .. } => {
                *begun = older(*begun);
            }
            Sweep::Idle => {}
        }
    }
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

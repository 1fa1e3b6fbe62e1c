//! Equal states for what differs in names only, so that few states remain.

use crate::state::{Announcement, Epoch, MOST_NAMES, Refill, Seen, Session, State, TokenCheck};

/// Gives equal names to states that differ in the names of replicas, epochs and data only.
pub fn canonical(mut state: State) -> State {
    forget_markers(&mut state);
    // The key of the session says more than that of its account.
    let data = state.nodes.iter_mut().map(|node| &mut node.data).chain([&mut state.older]);
    data.filter(|data| data.has_session).for_each(|data| data.account = 0);
    rename(&mut state);
    let mut other = state.clone();
    other.replicas.swap(0, 1);
    other.lock = other.lock.map(|holder| 1 - holder);
    if let Session::Announcing { by, .. } = &mut other.session {
        *by = 1 - *by;
    }
    rename(&mut other);
    state.min(other)
}

/// A marker that nothing can ever compare with its epoch is like none.
fn forget_markers(state: &mut State) {
    let mut live = [false; MOST_NAMES];
    let mut note = |epoch: Epoch| live[usize::from(epoch)] = epoch != 0;
    note(state.trusted);
    note(state.candidate);
    for replica in &state.replicas {
        if let Seen::Trusted { epoch, .. } = replica.seen {
            note(epoch);
        }
        note(replica.refill.epoch());
    }
    let forget = |marker: &mut Epoch| {
        if !live[usize::from(*marker)] {
            *marker = 0;
        }
    };
    state.nodes.iter_mut().for_each(|node| forget(&mut node.data.marker));
    forget(&mut state.older.marker);
    for connection in state.replicas.iter_mut().filter_map(|it| it.connection.as_mut()) {
        connection.check.marker_mut().map(&forget);
        if connection.check.marker_mut().is_some_and(|marker| *marker == 0) {
            connection.check = TokenCheck::None;
        }
    }
    if let Session::Announcing {
        step: Announcement::Read { marker, .. } | Announcement::Untrusted { marker, .. },
        ..
    } = &mut state.session
    {
        forget(marker);
    }
}

fn rename(state: &mut State) {
    let made_in = state.made_in;
    let mut epochs = Names::default();
    epochs.rename(&mut state.trusted);
    epochs.rename(&mut state.candidate);
    for node in &mut state.nodes {
        epochs.rename(&mut node.data.marker);
    }
    epochs.rename(&mut state.older.marker);
    for replica in &mut state.replicas {
        if let Seen::Trusted { epoch, .. } = &mut replica.seen {
            epochs.rename(epoch);
        }
        if let Some(marker) = replica.connection.as_mut().and_then(|connection| connection.check.marker_mut())
        {
            epochs.rename(marker);
        }
        match &mut replica.refill {
            Refill::Naming { epoch, .. }
            | Refill::Reading { epoch }
            | Refill::Marking { epoch, .. }
            | Refill::Copying { epoch, .. }
            | Refill::Trusting { epoch, .. } => epochs.rename(epoch),
            Refill::Idle | Refill::Waiting { .. } => {}
        }
    }
    if let Session::Announcing {
        step: Announcement::Read { marker, .. } | Announcement::Untrusted { marker, .. },
        ..
    } = &mut state.session
    {
        epochs.rename(marker);
    }
    let mut data = Names::default();
    for node in &mut state.nodes {
        data.rename(&mut node.id);
    }
    for replica in &mut state.replicas {
        if let Some(connection) = &mut replica.connection {
            data.rename(&mut connection.id);
        }
    }
    if let Session::Announcing {
        step: Announcement::Read { id, .. } | Announcement::Untrusted { id, .. },
        ..
    } = &mut state.session
    {
        data.rename(id);
    }
    // Identities that only epochs refer to come last, by the order of the epochs.
    state.made_in = [0; MOST_NAMES];
    let mut old_names: Vec<(u8, u8)> =
        (1..).zip(&epochs.new[1..]).filter(|(_, new)| **new != 0).map(|(old, new)| (*new, old)).collect();
    old_names.sort_unstable();
    for (new, old) in old_names {
        let mut id = made_in[usize::from(old)];
        data.rename(&mut id);
        state.made_in[usize::from(new)] = id;
    }
}

/// Numbers in the order of their first use.
#[derive(Default)]
struct Names {
    new: [u8; 32],
    used: u8,
}

impl Names {
    fn rename(&mut self, name: &mut u8) {
        if *name == 0 {
            return;
        }
        let new = &mut self.new[usize::from(*name)];
        if *new == 0 {
            self.used += 1;
            *new = self.used;
        }
        *name = *new;
    }
}

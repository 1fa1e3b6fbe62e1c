//! Translates states into what the server's functions take, and calls them.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use latchkey_protocol::clock::ClockOffset;
use latchkey_protocol::lease::{Check, Confirmed, Knowledge, Link};
use latchkey_protocol::record::Record;

use crate::state::{Age, Connection, Epoch, Seen, State};

/// The id of every connection: the model forgets the checks of a connection when it ends.
const CONNECTION: u64 = 1;
/// A time that is later than every age is long.
static NOW: LazyLock<Instant> = LazyLock::new(|| Instant::now() + Duration::from_hours(1));

pub struct Facts<'a> {
    state: &'a State,
    tick: Duration,
    /// Whether epochs are compared with the identity of the data.
    knows_identities: bool,
}

impl<'a> Facts<'a> {
    pub fn new(state: &'a State, tick: Duration, knows_identities: bool) -> Self {
        Self { state, tick, knows_identities }
    }

    fn ago(&self, age: Age) -> Instant {
        NOW.checked_sub(self.tick * u32::from(age)).expect("ages are short")
    }

    /// Epochs begin with the identity of the data in which they are made.
    fn name(&self, epoch: Epoch) -> Option<Arc<str>> {
        let data = self.state.made_in[usize::from(epoch)];
        (epoch != 0).then(|| format!("{data}/{epoch}").into())
    }

    /// PostgreSQL's record. The model forgets earlier withdrawals, so one time is enough.
    pub fn record(&self) -> Record {
        Record {
            trusted: self.name(self.state.trusted),
            candidate: self.name(self.state.candidate),
            changed_at: DateTime::<Utc>::UNIX_EPOCH,
        }
    }

    fn link(&self, connection: Connection) -> Link {
        Link {
            id: CONNECTION,
            epoch_prefix: if self.knows_identities { format!("{}/", connection.id) } else { String::new() },
            identified_at: self.ago(connection.verified),
        }
    }

    fn confirmed(&self, seen: Seen) -> Option<Confirmed> {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let clock = ClockOffset::measure(now, now, now);
        let (trusted, asked, since) = match seen {
            Seen::Nothing => return None,
            Seen::Trusted { epoch, asked } => (self.name(epoch), asked, asked),
            Seen::Withdrawn { since } => (None, 0, since),
        };
        let record = Record { trusted, candidate: None, changed_at: now };
        let (asked_at, seen_since) = (self.ago(asked), self.ago(since));
        Some(Confirmed { record, asked_at, seen_since, clock })
    }

    /// Whether this replica uses what a Redis with this marker says.
    pub fn trusts(&self, replica: usize, marker: Epoch) -> bool {
        let connection = self.state.replicas[replica].connection;
        connection.is_some_and(|connection| self.trusts_over(replica, connection, marker))
    }

    /// The same for a connection that need not be the present one.
    pub fn trusts_over(&self, replica: usize, connection: Connection, marker: Epoch) -> bool {
        let Some(marker) = self.name(marker) else { return false };
        let confirmed = self.confirmed(self.state.replicas[replica].seen);
        let swept = connection.swept.map(|age| Check { connection_id: CONNECTION, began_at: self.ago(age) });
        let knowledge = Knowledge { confirmed: confirmed.as_ref(), verified: None, swept };
        knowledge.trusted_epoch(&self.link(connection), *NOW) == Some(&marker)
    }

    /// How many ticks pass before every lease has expired.
    pub fn wait(&self, replica: usize) -> Age {
        let confirmed = self.confirmed(self.state.replicas[replica].seen);
        let knowledge = Knowledge { confirmed: confirmed.as_ref(), verified: None, swept: None };
        let until = knowledge.expired_everywhere_at(&self.record(), *NOW);
        let left = until.saturating_duration_since(*NOW);
        u8::try_from(left.as_nanos().div_ceil(self.tick.as_nanos())).expect("a few ticks")
    }

    /// What a replica remembers after it has read the record.
    pub fn fetched(&self, replica: usize) -> Seen {
        let before = self.confirmed(self.state.replicas[replica].seen);
        let clock = self.confirmed(Seen::Withdrawn { since: 0 }).expect("a confirmation").clock;
        let now = Confirmed::after(before.as_ref(), self.record(), (*NOW, *NOW), clock);
        if now.record.trusted.is_some() {
            return Seen::Trusted { epoch: self.state.trusted, asked: 0 };
        }
        let age = NOW.duration_since(now.seen_since).as_nanos().div_ceil(self.tick.as_nanos());
        Seen::Withdrawn { since: u8::try_from(age).expect("a few ticks") }
    }

    /// Whether a revocation that was written before this marker was read is known everywhere.
    pub fn covers(&self, connection: Connection, marker: Epoch) -> bool {
        self.record().covers(self.name(marker).as_deref(), &self.link(connection))
    }

    /// Whether the Redis of this replica has the trusted copy.
    pub fn is_complete(&self, replica: usize) -> bool {
        let Some(connection) = self.state.replicas[replica].connection else { return false };
        let marker = self.state.nodes[usize::from(connection.node)].data.marker;
        self.record().is_trusted_copy(self.name(marker).as_deref(), &self.link(connection))
    }

    /// The transitions of the record, with the epochs that it names afterwards.
    pub fn after(&self, change: impl FnOnce(&mut Record, &Facts<'_>)) -> (Epoch, Epoch) {
        let mut record = self.record();
        change(&mut record, self);
        let number = |name: &Option<Arc<str>>| {
            let name = name.as_deref().and_then(|name| name.split_once('/'));
            name.map_or(0, |(_, epoch)| epoch.parse().expect("the number of an epoch"))
        };
        (number(&record.trusted), number(&record.candidate))
    }

    /// The record after the withdrawal that a refill waited for.
    pub fn withdrawn(latest: bool) -> Record {
        let changed_at = if latest { DateTime::UNIX_EPOCH } else { DateTime::<Utc>::MIN_UTC };
        Record { trusted: None, candidate: None, changed_at }
    }

    /// The name of an epoch that is not 0.
    pub fn name_of(&self, epoch: Epoch) -> Arc<str> {
        self.name(epoch).expect("an epoch")
    }
}

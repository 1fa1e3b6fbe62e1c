//! Leader election over a Lease: of several operator replicas one reconciles. See `docs/decisions/0018`.
//!
//! A candidate judges a record by how long ago *it* saw the record change, on its own monotonic clock, so that clocks
//! that differ between nodes do no harm. The holder counts from the moment before it sent the renewal, which is earlier
//! than any candidate can have seen it, and stops (renew deadline) before a candidate may take over (lease duration).

use std::time::{Duration, Instant};

use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};

use crate::cluster::fence::Fence;
use crate::controller::lease::LeaseRecord;
use crate::error_chain::ErrorChain;
use crate::names::OPERATOR;

/// How the election is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a record that nobody renews is respected.
    pub lease: Duration,
    /// How long after it sent a renewal that succeeded the holder may write; shorter than `lease`.
    pub renew_deadline: Duration,
    /// How often it is tried.
    pub retry: Duration,
}

impl Terms {
    /// How long one try may take, so that one request without an answer leaves time for another.
    fn attempt(&self) -> Duration {
        self.renew_deadline / 2
    }

    /// The pause after a try that failed, when the next one is urgent.
    fn soon(&self) -> Duration {
        self.retry / 8
    }

    /// How long lies between the last moment at which the holder may write and the first at which another may.
    pub fn margin(&self) -> Duration {
        self.lease.saturating_sub(self.renew_deadline)
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// What to do about the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nobody holds it, or its holder is gone: write ourselves in.
    Take,
    /// It is ours: renew it.
    Renew,
    /// Somebody holds it.
    Wait,
}

/// A record as this replica saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The holder it names, if any.
    pub holder: Option<String>,
    /// How long its holder asked to be respected.
    pub duration: Duration,
    /// When this replica first saw it in this version, or first saw that it was gone.
    pub seen: Instant,
}

/// Decides what to do about the record last seen; `None` when there never was one. A Lease that was deleted counts as
/// its last record does: its holder may not have noticed yet.
pub fn decide_election(sighting: Option<&Sighting>, identity: &str, now: Instant) -> Decision {
    let Some(Sighting { holder, duration, seen }) = sighting else { return Decision::Take };
    match holder.as_deref() {
        None | Some("") => Decision::Take,
        Some(holder) if holder == identity => Decision::Renew,
        Some(_) if now.duration_since(*seen) > *duration => Decision::Take,
        Some(_) => Decision::Wait,
    }
}

/// Why leading ended.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// Another replica may have taken over.
    #[error("the lease could not be renewed in time; another replica may lead now")]
    Lost,
}

/// What came of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// This replica leads.
    Leads,
    /// Another one does.
    Waits,
    /// Somebody wrote in between.
    Contended,
}

/// A try did not succeed.
#[derive(Debug, thiserror::Error)]
enum TryError {
    /// The API server refused it, or could not be reached.
    #[error(transparent)]
    Request(#[from] kube::Error),
    /// The API server did not answer.
    #[error("the API server did not answer in time")]
    TimedOut,
}

/// One replica's part in the election.
pub struct Election {
    leases: Api<LeaseRecord>,
    name: String,
    identity: String,
    terms: Terms,
    fence: Fence,
    /// The record last seen, and the Lease unless it is gone.
    last: Option<(Option<LeaseRecord>, Sighting)>,
}

impl Election {
    /// Takes part under `identity`, which no other replica may use. The fence is opened while this replica leads.
    pub fn new(client: Client, namespace: &str, identity: String, terms: Terms, fence: Fence) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: OPERATOR.to_owned(),
            identity,
            terms,
            fence,
            last: None,
        }
    }

    /// Returns when this replica leads. After each try `answered` hears whether the API server answered.
    pub async fn acquire(&mut self, answered: impl Fn(bool)) {
        loop {
            let outcome = self.attempt(self.terms.attempt(), false).await;
            answered(outcome.is_ok());
            match outcome {
                Ok(Outcome::Leads) => return,
                Ok(Outcome::Waits | Outcome::Contended) => {}
                Err(error) => {
                    tracing::warn!(error = %ErrorChain(&error), "the lease cannot be read or written; trying again");
                }
            }
            tokio::time::sleep(self.terms.retry).await;
        }
    }

    /// Keeps leading; returns when that is over. From then on the fence lets no write pass.
    pub async fn hold(&mut self) -> LeaderError {
        let mut pause = self.terms.retry;
        loop {
            tokio::time::sleep(pause.min(self.left())).await;
            // Asked before anything is sent: a process that was stopped for a while must not renew what has run out.
            let left = self.left();
            if left.is_zero() {
                break;
            }
            pause = match self.attempt(left.min(self.terms.attempt()), true).await {
                Ok(Outcome::Leads) => self.terms.retry,
                Ok(Outcome::Waits) => break,
                // Written by somebody who does not lead, perhaps: the next try reads it.
                Ok(Outcome::Contended) => self.terms.soon(),
                Err(error) => {
                    tracing::warn!(error = %ErrorChain(&error), "the lease was not renewed; trying again");
                    self.terms.soon()
                }
            };
        }
        self.fence.close();
        LeaderError::Lost
    }

    /// How long this replica may still write.
    fn left(&self) -> Duration {
        let end = self.fence.end();
        end.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()))
    }

    /// Gives the lease up, so that another replica need not wait for it to run out. Nothing may be written any more,
    /// nor may the API server have anything left to carry out.
    ///
    /// # Errors
    /// When it could not be written; it runs out by itself then.
    pub async fn release(&mut self) -> Result<(), kube::Error> {
        let Some((Some(mut lease), sighting)) = self.last.take() else { return Ok(()) };
        if sighting.holder.as_deref() != Some(&self.identity) {
            return Ok(());
        }
        lease.give_up();
        self.leases.replace(&self.name, &PostParams::default(), &lease).await.map(drop)
    }

    async fn attempt(&mut self, within: Duration, leads: bool) -> Result<Outcome, TryError> {
        match tokio::time::timeout(within, self.step(leads)).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(TryError::TimedOut),
        }
    }

    async fn step(&mut self, leads: bool) -> Result<Outcome, kube::Error> {
        // What we wrote last is still there unless somebody took it, and then our writing it again fails.
        let holds = matches!(
            &self.last,
            Some((Some(_), seen)) if seen.holder.as_deref() == Some(&self.identity)
        );
        if !holds {
            let found = self.leases.get_opt(&self.name).await?;
            self.see(found, Instant::now());
        }
        let sighting = self.last.as_ref().map(|(_, sighting)| sighting);
        let decision = decide_election(sighting, &self.identity, Instant::now());
        let lease = self.last.as_ref().and_then(|(lease, _)| lease.clone());
        // Who finds that the lease it holds is no longer its own has lost it, even where it could be name_conflicts.
        if decision == Decision::Wait || (leads && decision == Decision::Take && lease.is_some()) {
            return Ok(Outcome::Waits);
        }
        // Before anything is sent: no other replica can have seen the record earlier.
        let asked = Instant::now();
        let written = match lease {
            None => {
                let lease = self.signed(LeaseRecord::new(&self.name), Decision::Take);
                self.leases.create(&PostParams::default(), &lease).await
            }
            Some(lease) => {
                let lease = self.signed(lease, decision);
                self.leases.replace(&self.name, &PostParams::default(), &lease).await
            }
        };
        match written {
            Ok(lease) => {
                self.see(Some(lease), asked);
                self.fence.extend(asked + self.terms.renew_deadline);
                Ok(Outcome::Leads)
            }
            // Another replica wrote between our reading and our writing. What it wrote is news at the next reading.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                if holds {
                    self.last = None;
                }
                Ok(Outcome::Contended)
            }
            Err(error) => Err(error),
        }
    }

    fn see(&mut self, found: Option<LeaseRecord>, now: Instant) {
        let last = self.last.take();
        let Some(lease) = found else {
            self.last = last.map(|(lease, sighting)| {
                // Gone just now; from here on its holder is given its time once more.
                let seen = if lease.is_some() { now } else { sighting.seen };
                (None, Sighting { seen, ..sighting })
            });
            return;
        };
        let seen = match last {
            Some((Some(before), sighting)) if before.resource_version() == lease.resource_version() => {
                sighting.seen
            }
            _ => now,
        };
        let sighting = Sighting {
            holder: lease.holder().map(str::to_owned),
            duration: lease.duration().map_or(self.terms.lease, Duration::from_secs),
            seen,
        };
        self.last = Some((Some(lease), sighting));
    }

    fn signed(&self, mut lease: LeaseRecord, decision: Decision) -> LeaseRecord {
        let seconds = i32::try_from(self.terms.lease.as_secs()).unwrap_or(i32::MAX);
        lease.sign(&self.identity, seconds, decision == Decision::Take);
        lease
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(holder: Option<&str>, seconds: u64, seen: Instant) -> Sighting {
        Sighting { holder: holder.map(str::to_owned), duration: Duration::from_secs(seconds), seen }
    }

    #[test]
    fn a_lease_that_does_not_exist_or_was_given_up_is_taken() {
        let now = Instant::now();
        assert_eq!(decide_election(None, "a", now), Decision::Take);
        assert_eq!(decide_election(Some(&seen(None, 15, now)), "a", now), Decision::Take);
        assert_eq!(decide_election(Some(&seen(Some(""), 1, now)), "a", now), Decision::Take);
    }

    #[test]
    fn the_holder_gives_up_before_another_may_take_over() {
        let terms = Terms::default();
        assert!(terms.renew_deadline + terms.retry < terms.lease);
    }

    proptest! {
        #[test]
        fn another_holder_is_respected_exactly_as_long_as_it_asked(duration in 1_u64..60, passed in 0_u64..120) {
            let start = Instant::now();
            let sighting = seen(Some("b"), duration, start);
            let expected = if passed > duration { Decision::Take } else { Decision::Wait };
            prop_assert_eq!(decide_election(Some(&sighting), "a", start + Duration::from_secs(passed)), expected);
        }

        #[test]
        fn our_own_lease_is_renewed_however_old(passed in 0_u64..10_000) {
            let start = Instant::now();
            let sighting = seen(Some("a"), 15, start);
            prop_assert_eq!(decide_election(Some(&sighting), "a", start + Duration::from_secs(passed)), Decision::Renew);
        }
    }
}

//! Leader election over a Lease: of several operator replicas one reconciles.
//!
//! A record is judged by how long ago *this* replica saw it change, on its own monotonic clock, so that clocks
//! that differ between nodes do no harm. A holder gives up sooner (renew deadline) than the others may take
//! over (lease duration).

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};

use crate::causes::Causes;

/// How the election is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a record that nobody renews is respected.
    pub lease: Duration,
    /// How long the holder may fail to renew before it gives up; shorter than `lease`.
    pub renew_deadline: Duration,
    /// How often it is tried.
    pub retry: Duration,
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
    /// When this replica first saw it in this version.
    pub seen: Instant,
}

/// Decides what to do about the record last seen; `None` when there is no Lease.
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

/// One replica's part in the election.
pub struct Election {
    leases: Api<Lease>,
    name: String,
    identity: String,
    terms: Terms,
    last: Option<(Lease, Sighting)>,
}

impl Election {
    /// Takes part under `identity`, which no other replica may use.
    pub fn new(client: Client, namespace: &str, name: &str, identity: String, terms: Terms) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            terms,
            last: None,
        }
    }

    /// Returns when this replica leads. After each try `answered` hears whether the API server answered.
    pub async fn acquire(&mut self, answered: impl Fn(bool)) {
        loop {
            let outcome = self.step().await;
            answered(outcome.is_ok());
            match outcome {
                Ok(Outcome::Leads) => return,
                Ok(Outcome::Waits | Outcome::Contended) => {}
                Err(error) => {
                    tracing::warn!(error = %Causes(&error), "the lease cannot be read or written; trying again");
                }
            }
            tokio::time::sleep(self.terms.retry).await;
        }
    }

    /// Keeps leading; returns when that is over.
    pub async fn hold(&mut self) -> LeaderError {
        let mut renewed = Instant::now();
        let mut pause = self.terms.retry;
        loop {
            tokio::time::sleep(pause).await;
            pause = self.terms.retry;
            let left = self.terms.renew_deadline.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.step()).await {
                Ok(Ok(Outcome::Leads)) => renewed = Instant::now(),
                // Written by somebody who does not lead, perhaps: the next try reads it, and that at once.
                Ok(Ok(Outcome::Contended)) => pause = Duration::ZERO,
                Ok(Ok(Outcome::Waits)) | Err(_) => return LeaderError::Lost,
                Ok(Err(error)) => {
                    tracing::warn!(error = %Causes(&error), "the lease was not renewed; trying again");
                }
            }
            if renewed.elapsed() >= self.terms.renew_deadline {
                return LeaderError::Lost;
            }
        }
    }

    /// Gives the lease up, so that another replica need not wait for it to run out.
    ///
    /// # Errors
    /// When it could not be written; it runs out by itself then.
    pub async fn release(&mut self) -> Result<(), kube::Error> {
        let Some((mut lease, sighting)) = self.last.take() else { return Ok(()) };
        if sighting.holder.as_deref() != Some(&self.identity) {
            return Ok(());
        }
        if let Some(spec) = lease.spec.as_mut() {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        self.leases.replace(&self.name, &PostParams::default(), &lease).await.map(drop)
    }

    async fn step(&mut self) -> Result<Outcome, kube::Error> {
        // What we wrote last is still there unless somebody took it, and then our writing it again fails.
        let holds =
            self.last.as_ref().is_some_and(|(_, seen)| seen.holder.as_deref() == Some(&self.identity));
        if !holds {
            let found = self.leases.get_opt(&self.name).await?;
            self.see(found, Instant::now());
        }
        let sighting = self.last.as_ref().map(|(_, sighting)| sighting);
        let decision = decide_election(sighting, &self.identity, Instant::now());
        if decision == Decision::Wait {
            return Ok(Outcome::Waits);
        }
        let written = match self.last.as_ref() {
            None => self.leases.create(&PostParams::default(), &self.fresh()).await,
            Some((lease, _)) => {
                let lease = self.signed(lease.clone(), decision);
                self.leases.replace(&self.name, &PostParams::default(), &lease).await
            }
        };
        match written {
            Ok(lease) => {
                self.see(Some(lease), Instant::now());
                Ok(Outcome::Leads)
            }
            // Another replica wrote between our reading and our writing.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                self.last = None;
                Ok(Outcome::Contended)
            }
            Err(error) => Err(error),
        }
    }

    fn see(&mut self, found: Option<Lease>, now: Instant) {
        self.last = found.map(|lease| {
            let seen = match self.last.take() {
                Some((before, sighting))
                    if before.metadata.resource_version == lease.metadata.resource_version =>
                {
                    sighting.seen
                }
                _ => now,
            };
            let spec = lease.spec.as_ref();
            let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
            let sighting = Sighting {
                holder: spec.and_then(|spec| spec.holder_identity.clone()),
                duration: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
                seen,
            };
            (lease, sighting)
        });
    }

    fn fresh(&self) -> Lease {
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
        self.signed(Lease { metadata, spec: Some(LeaseSpec::default()) }, Decision::Take)
    }

    fn signed(&self, mut lease: Lease, decision: Decision) -> Lease {
        let now = MicroTime(Timestamp::now());
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if decision == Decision::Take {
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |count| count.saturating_add(1)));
            spec.acquire_time = Some(now.clone());
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = Some(i32::try_from(self.terms.lease.as_secs()).unwrap_or(i32::MAX));
        spec.renew_time = Some(now);
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

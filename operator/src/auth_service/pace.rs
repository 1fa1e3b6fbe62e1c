//! The pace of the rollouts that a change of the operator causes, such as a new default image.
//!
//! Such a change concerns every AuthService at the same time. A limited number of them is migrated and rolled out at a
//! time. The others wait in the order in which they began to wait, and their replicas continue to serve. An AuthService
//! goes ahead without waiting if its own spec changed, or if it is not ready. A change of a Secret while the operator
//! runs is not a change of the operator either.

mod queue;

use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use latchkey_crds::{AuthServiceStatus, conditions};

use crate::cluster::observed::Observed;
use crate::cluster::watches::Triggers;
use crate::metrics::Metrics;

use queue::{Queue, Who};

/// The reason of `Progressing` while an AuthService waits.
pub(crate) const QUEUED: &str = "RolloutQueued";

/// The reasons of `Progressing` during a rollout.
const ROLLING: [&str; 6] = [
    "RollingOut",
    "WaitingForDatabase",
    "DatabaseNotStarting",
    "Migrating",
    "MigrationWaiting",
    "MigrationRetrying",
];

pub(crate) struct Pace {
    queue: Mutex<Queue>,
    auth_services: Store<Observed>,
    wake: Triggers,
    metrics: Metrics,
}

impl Pace {
    /// Continues with what the statuses say, so that a restart neither exceeds the limit nor changes the order.
    pub(crate) fn new(most: usize, auth_services: Store<Observed>, wake: Triggers, metrics: Metrics) -> Self {
        let mut queue = Queue::new(most);
        for object in auth_services.state() {
            let (Some(uid), Some(status)) = (object.uid(), &object.salvaged().status) else { continue };
            let Some(progress) = progress_of(status) else { continue };
            let since = progress.last_transition_time.0;
            if progress.reason == QUEUED {
                queue.enqueue(&uid, ObjectRef::from_obj(&*object), since);
            } else if ROLLING.contains(&progress.reason.as_str()) {
                queue.resume(&uid, ObjectRef::from_obj(&*object), since);
            }
        }
        Self { queue: Mutex::new(queue), auth_services, wake, metrics }
    }

    pub(crate) fn auth_services(&self) -> Store<Observed> {
        self.auth_services.clone()
    }

    /// The maximum number of rollouts at a time.
    pub(crate) fn most(&self) -> usize {
        self.lock().most()
    }

    pub(crate) fn runs(&self, uid: &str) -> bool {
        self.lock().runs(uid)
    }

    /// Whether the AuthService may be rolled out now; otherwise it waits.
    pub(crate) fn take(&self, uid: &str, who: Who, now: Timestamp) -> bool {
        let mut queue = self.lock();
        queue.enqueue(uid, who, now);
        let woken = self.settle(&mut queue, now);
        let runs = queue.runs(uid);
        drop(queue);
        self.wake(woken, uid);
        runs
    }

    /// Ends the rollout or the wait of an AuthService, and starts the next.
    pub(crate) fn leave(&self, uid: &str, now: Timestamp) {
        let mut queue = self.lock();
        if !queue.remove(uid) {
            return;
        }
        let woken = self.settle(&mut queue, now);
        drop(queue);
        self.wake(woken, uid);
    }

    /// Ends the wait of an AuthService that goes ahead by itself.
    pub(crate) fn stop_waiting(&self, uid: &str, now: Timestamp) {
        let waits = self.lock().waits(uid);
        if waits {
            self.leave(uid, now);
        }
    }

    fn settle(&self, queue: &mut Queue, now: Timestamp) -> Vec<Who> {
        let exists = |uid: &str, who: &Who| {
            self.auth_services.get(who).is_some_and(|object| object.uid().as_deref() == Some(uid))
        };
        let started = queue.settle(now, exists);
        self.metrics.set_rollouts(queue.running(), queue.waiting());
        started
    }

    fn wake(&self, started: Vec<Who>, itself: &str) {
        for who in started {
            let is_itself =
                self.auth_services.get(&who).is_some_and(|found| found.uid().as_deref() == Some(itself));
            if !is_itself && self.wake.unbounded_send(who).is_err() {
                tracing::debug!("the controller has stopped");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn progress_of(
    status: &AuthServiceStatus,
) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    let mut conditions = status.conditions.iter();
    conditions.find(|condition| condition.type_ == conditions::PROGRESSING && condition.status == "True")
}

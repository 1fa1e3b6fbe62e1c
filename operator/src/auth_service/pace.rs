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
use latchkey_crds::{AuthService, AuthServiceStatus, conditions};

use crate::auth_service::context::Context;
use crate::auth_service::dereference::ExternalState;
use crate::auth_service::render::{Action, Objects, Schema};
use crate::auth_service::validate::Validated;
use crate::cluster::kinds::Kind;
use crate::cluster::observed::Observed;
use crate::cluster::watches::Triggers;
use crate::metrics::Metrics;
use crate::names::RENDERED_ANNOTATION;

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

    /// The maximum number of rollouts at a time.
    pub(crate) fn most(&self) -> usize {
        self.lock().most()
    }

    fn runs(&self, uid: &str) -> bool {
        self.lock().runs(uid)
    }

    /// Whether the AuthService may be rolled out now; otherwise it waits.
    fn take(&self, uid: &str, who: Who, now: Timestamp) -> bool {
        let mut queue = self.lock();
        queue.enqueue(uid, who, now);
        let woken = self.settle(&mut queue, now);
        let runs = queue.runs(uid);
        drop(queue);
        self.wake(woken, uid);
        runs
    }

    /// Ends the rollout or the wait of an AuthService, and starts the next.
    fn leave(&self, uid: &str, now: Timestamp) {
        let mut queue = self.lock();
        if !queue.remove(uid) {
            return;
        }
        let woken = self.settle(&mut queue, now);
        drop(queue);
        self.wake(woken, uid);
    }

    /// Ends the wait of an AuthService that goes ahead by itself.
    fn stop_waiting(&self, uid: &str, now: Timestamp) {
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

/// Whether the rollout of this AuthService has to wait.
pub(crate) fn holds(
    auth_service: &AuthService,
    service: &Validated,
    external_state: &ExternalState,
    objects: &Objects,
    context: &Context,
) -> bool {
    if service.spec.paused {
        return false;
    }
    let (uid, now) = (&*service.owner.uid, Timestamp::now());
    let started = context.with_memory(uid, |memory| memory.rollout_started);
    if started && !context.pace.runs(uid) {
        return false;
    }
    let pending = objects.actions().any(|action| is_pending(action, service, context));
    // Before the migration has succeeded, the Deployment is still the previous one.
    if !pending && objects.schema == Schema::Migrated && is_rolled_out(external_state) {
        context.pace.leave(uid, now);
    }
    let status = context.last_status(auth_service);
    let ready = status.conditions.iter().find(|condition| condition.type_ == conditions::READY);
    let ready = ready.is_some_and(|ready| ready.status == "True");
    let spec_changed = status.observed_generation != auth_service.metadata.generation;
    if !pending || started || spec_changed || !ready {
        context.pace.stop_waiting(uid, now);
    } else if !context.pace.take(uid, ObjectRef::new(&service.name).within(&service.namespace), now) {
        return true;
    }
    context.with_memory(uid, |memory| memory.rollout_started = true);
    false
}

/// Whether an action starts a migration or changes the pods of a workload.
pub(crate) fn is_pending(action: &Action, service: &Validated, context: &Context) -> bool {
    let Action::Apply(rendered) = action else { return false };
    let live = || context.cache.get(rendered.kind, &service.namespace, &rendered.name);
    match rendered.kind {
        // An existing Job is never changed.
        Kind::Job => live().is_none(),
        Kind::Deployment | Kind::StatefulSet => live()
            .is_some_and(|live| live.object().annotations().get(RENDERED_ANNOTATION) != Some(&rendered.hash)),
        _ => false,
    }
}

/// Whether the Deployment and the embedded stores run as their controllers want them.
fn is_rolled_out(external_state: &ExternalState) -> bool {
    let deployment = external_state.deployment.as_ref().is_none_or(|deployment| {
        let status = deployment.status.clone().unwrap_or_default();
        let wanted = deployment.spec.replicas.unwrap_or(1);
        let numbers = [status.updated_replicas, status.replicas, status.ready_replicas];
        status.observed_generation >= deployment.metadata.generation
            && numbers.into_iter().all(|number| number.unwrap_or(0) == wanted)
    });
    deployment
        && external_state.stores.iter().all(|store| {
            let status = store.stateful_set.status.clone().unwrap_or_default();
            let wanted = store.stateful_set.spec.replicas.unwrap_or(1);
            let numbers = [status.updated_replicas, status.ready_replicas];
            status.observed_generation >= store.stateful_set.metadata.generation
                && numbers.into_iter().all(|number| number.unwrap_or(0) == wanted)
        })
}

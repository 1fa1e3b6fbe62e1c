//! The reconciler of `AuthService`: dereference -> validate -> render -> apply -> status.

#[cfg(test)]
mod any_spec;
mod apply;
mod autoscaler;
mod begun_migrations;
mod certificate;
pub(crate) mod context;
mod dereference;
pub(crate) mod failures;
#[cfg(test)]
mod fixtures;
mod hold;
mod image;
pub(crate) mod images;
mod migration;
mod ownership;
pub(crate) mod pace;
mod postgres_image;
pub(crate) mod problem;
pub(crate) mod references;
mod registration;
mod render;
pub(crate) mod repair_limit;
mod retention;
mod server_reports;
mod shared_database;
mod status;
mod take_charge;
mod trusted_cas;
mod validate;
mod warnings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::observed::Observed;
use crate::error_chain::ErrorChain;
use crate::names::Component;
use context::Context;

pub(crate) use apply::NO_VERSION;
pub(crate) use dereference::data_of;
pub(crate) use validate::service_url;

use failures::decide_retry_delay;
use server_reports::Answer;

/// The delay after the AuthService changed during its reconcile, which is usually followed by its watch event.
const OUTDATED_DELAY: Duration = Duration::from_millis(500);

/// Why a reconcile failed. Problems of the spec or the cluster become conditions instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// A reference of the spec could not be read.
    #[error(transparent)]
    Dereference(#[from] dereference::DereferenceError),
    /// The object lacks metadata that the API server always sets.
    #[error(transparent)]
    Validate(#[from] validate::ValidateError),
    #[error(transparent)]
    Render(#[from] render::RenderError),
    #[error(transparent)]
    Apply(#[from] apply::ApplyError),
    #[error(transparent)]
    Status(#[from] status::StatusError),
    /// It panicked, which is a bug, or the operator is stopping.
    #[error("the reconcile was aborted: {0}")]
    Ended(#[from] JoinError),
}

/// Reconciles one AuthService: applies the desired objects and updates its status.
///
/// # Errors
/// When the API server does not respond or refuses a request; the reconcile is retried.
pub(crate) async fn reconcile(
    observed: Arc<Observed>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    // Runs in its own task so that a panic or a long computation does not stall other reconciles.
    let task = tokio::spawn(reconcile_in_slot(observed, context));
    AbortOnDropHandle::new(task).await?
}

async fn reconcile_in_slot(observed: Arc<Observed>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    // Waiting for unresponsive servers takes no reconcile slot. An unreadable pod is reported below.
    let pods = observed
        .whole()
        .ok()
        .filter(|whole| context.scope.foreign(whole).is_none())
        .and_then(|whole| dereference::pods(whole, &context, Component::Server).ok());
    let answers = server_reports::query_all(&pods.unwrap_or_default()).await;
    let uid = observed.uid().unwrap_or_default();
    let failed_before = context.with_memory(&uid, |memory| memory.failures.any());
    let work = context.slots.work(failed_before, async {
        // Re-read the object from the cache; if it is gone, there is nothing to do.
        let Some(observed) = context.auth_services.get(&ObjectRef::from_obj(&*observed)) else {
            return Ok(Action::await_change());
        };
        let started = Instant::now();
        // Boxed, because its state is large and reconciles that wait for a slot do not need it.
        let result = Box::pin(reconcile_once(&observed, answers, &context)).await;
        context.metrics.reconciled(result.is_ok(), started.elapsed().as_secs_f64());
        if result.is_ok() {
            context.with_memory(&observed.uid().unwrap_or_default(), |memory| memory.failures.clear());
        }
        result
    });
    // The semaphores are only closed when the operator stops.
    work.await.unwrap_or_else(|| Ok(Action::await_change()))
}

async fn reconcile_once(
    observed: &Observed,
    answers: Vec<Answer>,
    context: &Context,
) -> Result<Action, ReconcileError> {
    if observed.meta().deletion_timestamp.is_some() {
        // Its objects are garbage-collected through their owner references.
        return Ok(Action::await_change());
    }
    if let Some(action) = take_charge::take_charge(observed, context).await? {
        return Ok(action);
    }
    // Acting on a partially read spec or status could generate new keys, or delete objects that the rest requires.
    let auth_service = match observed.whole() {
        Ok(auth_service) => auth_service,
        Err(unreadable) => return Ok(status::report_unreadable(observed, unreadable, context).await?),
    };
    let tokens = validate::validate_tokens(&auth_service.spec.tokens);
    let plan = tokens.as_ref().ok().map(|tokens| &tokens.key_rotation);
    let (found, external_state) = match dereference::dereference(auth_service, plan, answers, context).await {
        Err(dereference::DereferenceError::Unreadable(problem)) => {
            let unreadable = status::unreadable(auth_service, problem);
            return Ok(status::report_unreadable(observed, &unreadable, context).await?);
        }
        found => found?,
    };
    context.with_memory(&observed.uid().unwrap_or_default(), |memory| memory.reported = None);
    let service = validate::validate(auth_service, tokens, found, &external_state, &context.installation)?;
    let mut objects = render::render(&service, &external_state, Timestamp::now())?;
    let queued = hold::holds(auth_service, &service, &external_state, &objects, context);
    if queued {
        objects.hold_workloads(|action| hold::is_pending(action, &service, context));
    }
    let mut applied = if service.spec.paused {
        apply::observe(&service, &external_state, &objects, context)
    } else {
        match apply::apply(&service, &external_state, objects, context).await {
            // Another AuthService of that name triggers its own reconcile.
            Err(apply::ApplyError::OwnerGone) => return Ok(Action::await_change()),
            // The watch shows the change soon.
            Err(apply::ApplyError::OutdatedSpec) => return Ok(Action::requeue(OUTDATED_DELAY)),
            applied => applied?,
        }
    };
    applied.queued = queued.then(|| context.pace.most());
    if matches!(applied.schema, render::Schema::Blocked(_)) || !applied.name_conflicts.is_empty() {
        context.begun_migrations().hold_back(&service.owner.uid);
    }
    let ask_again = registration::publish(&service, &external_state, &applied, context);
    match status::update(auth_service, &service, &external_state, &applied, context).await {
        Err(status::StatusError::Outdated) => Ok(Action::requeue(OUTDATED_DELAY)),
        requeue_after => {
            let requeue_after = requeue_after?;
            Ok(Action::requeue(ask_again.map_or(requeue_after, |sooner| sooner.min(requeue_after))))
        }
    }
}

/// Schedules the retry of a failed reconcile, with an increasing delay.
#[expect(clippy::needless_pass_by_value, reason = "the signature is the controller's")]
pub(crate) fn retry(auth_service: Arc<Observed>, error: &ReconcileError, context: Arc<Context>) -> Action {
    if let ReconcileError::Status(status::StatusError::Contested { kind, name }) = error {
        // With a constant short delay: when the other writer stops, no event may trigger the next reconcile.
        tracing::warn!(
            namespace = auth_service.namespace(),
            name = auth_service.name_any(),
            kind = kind.as_str(),
            object = name,
            "another writer keeps changing an object; the operator repairs it again in one second"
        );
        return Action::requeue(repair_limit::INTERVAL);
    }
    let failures = context
        .with_memory(&auth_service.uid().unwrap_or_default(), |memory| memory.failures.count(Instant::now()));
    let delay = decide_retry_delay(failures);
    tracing::warn!(
        namespace = auth_service.namespace(),
        name = auth_service.name_any(),
        error = %ErrorChain(error),
        failures,
        again_in = ?delay,
        "a reconcile failed and is retried"
    );
    Action::requeue(delay)
}

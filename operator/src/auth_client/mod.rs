//! The reconciler of `AuthClient`: dereference -> decide -> apply -> register -> status.
//!
//! It writes the Secret of the client and its status. The registry of all clients is written by the reconcile of their
//! AuthService; the two meet in [`crate::registrations`].

mod apply;
pub(crate) mod context;
mod decide;
mod dereference;
mod error;
mod secret;
mod status;

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use latchkey_crds::auth_service::NamespacesFrom;
use latchkey_crds::conditions::REGISTERED;
use latchkey_crds::{AuthClient, AuthService};
use tokio_util::task::AbortOnDropHandle;

use crate::auth_service::failures::decide_retry_delay;
use crate::cluster::observed_client::ObservedClient;
use crate::error_chain::ErrorChain;
use crate::names::{REVOKE_SECRET_ANNOTATION, ROTATE_SECRET_ANNOTATION, registration_finalizer};
use crate::registrations::{Entry, View, Wanted};
use context::Context;
use decide::{Facts, Registered, SecretState, accept};
use dereference::Host;
pub(crate) use error::ReconcileError;
use status::{Details, Incident};

/// The delay after the AuthClient changed during its reconcile, which is usually followed by its watch event.
const OUTDATED_DELAY: Duration = Duration::from_millis(500);
/// The interval of reconciles without an event.
const REVIEW: Duration = Duration::from_mins(5);
/// The same if the admission depends on the labels of a namespace, which are not watched.
const REVIEW_OF_LABELS: Duration = Duration::from_mins(1);
/// The delay while another writer keeps changing the Secret.
const CONTESTED_DELAY: Duration = Duration::from_secs(1);

/// Reconciles one AuthClient.
///
/// # Errors
/// When the API server does not respond or refuses a request; the reconcile is retried.
pub(crate) async fn reconcile(
    observed: Arc<ObservedClient>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    // Runs in its own task so that a panic or a long computation does not stall other reconciles.
    let task = tokio::spawn(reconcile_in_slot(observed, context));
    AbortOnDropHandle::new(task).await?
}

async fn reconcile_in_slot(
    observed: Arc<ObservedClient>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let uid = observed.uid().unwrap_or_default();
    let failed_before = context.with_memory(&uid, |memory| memory.failures.any());
    let work = context.slots.work(failed_before, async {
        // Re-read the object from the cache; if it is gone, there is nothing to do.
        let Some(observed) = context.auth_clients.get(&ObjectRef::from_obj(&*observed)) else {
            return Ok(Action::await_change());
        };
        let result = match Box::pin(reconcile_once(&observed, &context)).await {
            Err(error) if error.is_outdated() => Ok(Action::requeue(OUTDATED_DELAY)),
            Err(ReconcileError::Apply(apply::ApplyError::Gone)) => Ok(Action::await_change()),
            result => result,
        };
        context.metrics.client_reconciled(result.is_ok());
        if result.is_ok() {
            context.with_memory(&observed.uid().unwrap_or_default(), |memory| memory.failures.clear());
        }
        result
    });
    // The semaphores are only closed when the operator stops.
    work.await.unwrap_or_else(|| Ok(Action::await_change()))
}

async fn reconcile_once(observed: &ObservedClient, context: &Context) -> Result<Action, ReconcileError> {
    let host = match dereference::host(observed.salvaged(), context) {
        Host::Foreign => return Ok(Action::await_change()),
        host => host,
    };
    if observed.salvaged().metadata.deletion_timestamp.is_some() {
        return withdraw(observed.salvaged(), &host, context).await;
    }
    let client = match observed.whole() {
        Ok(client) => client,
        Err(problem) => {
            // Its entry in the registry stays as it is.
            tracing::warn!(
                namespace = observed.namespace(),
                name = observed.name_any(),
                problem,
                "an AuthClient cannot be read by this release and is left as it is"
            );
            return Ok(Action::await_change());
        }
    };
    let service = match &host {
        Host::Present(found) => match found.whole() {
            Ok(service) => Some(service),
            // Its limits are not known.
            Err(_) => return Ok(Action::requeue(REVIEW)),
        },
        Host::Absent | Host::Foreign => None,
    };
    let surroundings = dereference::surroundings(client, service, context).await?;
    match (service, accept(client, surroundings.admission(service))) {
        (Some(service), Ok(registered)) => register(client, service, registered, context).await,
        (_, accepted) => {
            submit(client, Entry::Withheld, context);
            let facts = Facts {
                accepted: accepted.map(|client| client.client_id),
                secret: SecretState::NotDecided,
                ..facts(client, Registered::Unknown)
            };
            let details = Details {
                secret_name: client.secret_name(),
                rotated_at: client
                    .status
                    .as_ref()
                    .and_then(|status| status.secret_rotated_at.as_ref().map(|time| time.0)),
                incidents: Vec::new(),
            };
            status::update(client, &facts, details, client.resource_version(), context).await?;
            Ok(Action::requeue(review_of(service)))
        }
    }
}

fn review_of(service: Option<&AuthService>) -> Duration {
    let by_labels = service
        .is_some_and(|service| service.spec.clients.allowed_namespaces.from == NamespacesFrom::Selector);
    if by_labels { REVIEW_OF_LABELS } else { REVIEW }
}

fn facts(client: &AuthClient, registered: Registered) -> Facts {
    Facts {
        service: format!("{}/{}", client.auth_service_namespace(), client.spec.auth_service_ref.name),
        accepted: Ok(client.client_id()),
        secret: SecretState::NotDecided,
        registered,
        deleting: false,
    }
}

/// Submits a decision, and triggers the AuthService if it is a new one.
fn submit(client: &AuthClient, entry: Entry, context: &Context) {
    if context.registrations.submit(&client.uid().unwrap_or_default(), entry) {
        let service =
            ObjectRef::new(&client.spec.auth_service_ref.name).within(client.auth_service_namespace());
        if context.triggers.unbounded_send(service).is_err() {
            tracing::debug!("the controller has stopped");
        }
    }
}

/// Prepares the secret of an accepted AuthClient, and registers it.
async fn register(
    client: &AuthClient,
    service: &AuthService,
    registered: latchkey_clients::Client,
    context: &Context,
) -> Result<Action, ReconcileError> {
    let uid = client.uid().unwrap_or_default();
    let mut version = apply::add_finalizer(client, context).await?;
    if !may_register(client, service, &registered, context).await? {
        // Its AuthService triggers it.
        return Ok(Action::requeue(review_of(Some(service))));
    }
    let prepared = secret::prepare(client, service, &registered, context).await?;
    let annotations = client.annotations();
    let revokes = annotations.contains_key(REVOKE_SECRET_ANNOTATION) && prepared.next.is_none();
    let wanted = Wanted {
        client: registered,
        has_secret: client.secret_name().is_some(),
        current: prepared.current,
        next: prepared.next,
        overlap: prepared.overlap,
        revokes_previous: revokes,
    };
    submit(client, Entry::Wanted(Box::new(wanted.clone())), context);
    let published = context.registrations.published(&service.uid().unwrap_or_default());
    // While a new secret is registered, the current one works.
    let current = Wanted { next: None, ..wanted.clone() };
    let view = published.as_ref().map(|published| published.view(&uid, &current));
    let mut incidents = prepared.incidents;
    let mut done = Vec::new();
    if prepared.rotation_is_done && annotations.contains_key(ROTATE_SECRET_ANNOTATION) {
        done.push(ROTATE_SECRET_ANNOTATION);
    }
    let is_revoked = published.as_ref().is_some_and(|published| {
        let is_registered = !matches!(view, Some(View::Pending(_)) | None);
        is_registered && published.has_no_previous(&wanted) && published.is_loaded()
    });
    if revokes && is_revoked {
        done.push(REVOKE_SECRET_ANNOTATION);
        incidents.push(Incident {
            warning: false,
            reason: "PreviousSecretRevoked",
            note: "No replica accepts a client secret before the current one any more.".to_owned(),
        });
    }
    version = apply::remove_annotations(client, version, &done, context).await?;
    let review = review_of(Some(service));
    if published.is_none() && was_registered(client) && incidents.is_empty() {
        // The operator has just started: the status is the last known one until the AuthService was reconciled.
        return Ok(Action::requeue(review));
    }
    let facts =
        Facts { secret: prepared.state, ..facts(client, view.map_or(Registered::Unknown, Registered::View)) };
    let details = Details { secret_name: client.secret_name(), rotated_at: prepared.rotated_at, incidents };
    status::update(client, &facts, details, version, context).await?;
    let due = prepared.due.map(|due| {
        Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default().max(CONTESTED_DELAY)
    });
    let contested = matches!(&facts.secret, SecretState::Problem(problem) if problem.reason == "Contested");
    let due = if contested { Some(CONTESTED_DELAY) } else { due };
    Ok(Action::requeue(review.min(due.unwrap_or(REVIEW))))
}

/// Whether what the AuthClient asks for may change the registry and its Secret. A restarted operator may be served an older
/// list by an API server that lags behind: a deleted AuthClient, or an older spec, must not return to the registry.
async fn may_register(
    client: &AuthClient,
    service: &AuthService,
    registered: &latchkey_clients::Client,
    context: &Context,
) -> Result<bool, ReconcileError> {
    let uid = client.uid().unwrap_or_default();
    let generation = client.metadata.generation;
    if context.with_memory(&uid, |memory| memory.verified_generation == generation) {
        return Ok(true);
    }
    if was_registered(client) {
        match context.registrations.published(&service.uid().unwrap_or_default()) {
            // The operator has just started: what is registered stays until the AuthService was reconciled.
            None => return Ok(false),
            Some(published) if published.has(&uid, registered) => return Ok(true),
            Some(_) => {}
        }
    }
    apply::verify(client, context).await?;
    context.with_memory(&uid, |memory| memory.verified_generation = generation);
    Ok(true)
}

/// Whether the present generation was registered before.
fn was_registered(client: &AuthClient) -> bool {
    let conditions = client.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| {
        condition.type_ == REGISTERED
            && condition.status == "True"
            && condition.observed_generation == client.metadata.generation
    })
}

/// Ends the registration of an AuthClient that is being deleted.
async fn withdraw(client: &AuthClient, host: &Host, context: &Context) -> Result<Action, ReconcileError> {
    let (uid, id) = (client.uid().unwrap_or_default(), client.client_id());
    submit(client, Entry::Withheld, context);
    if !client.finalizers().contains(&registration_finalizer()) {
        return Ok(Action::await_change());
    }
    let is_gone = match host {
        Host::Present(service) => {
            let published = context.registrations.published(&service.uid().unwrap_or_default());
            let decision = context.registrations.number(&uid);
            published.is_some_and(|published| published.is_gone(&uid, &id, decision))
        }
        // Its replicas are gone, too.
        Host::Absent | Host::Foreign => true,
    };
    if is_gone {
        apply::remove_finalizer(client, context).await?;
        tracing::info!(
            namespace = client.namespace(),
            name = client.name_any(),
            "no replica accepts the client any more; its deletion continues"
        );
        return Ok(Action::await_change());
    }
    let status = client.status.clone().unwrap_or_default();
    let facts = Facts {
        deleting: true,
        secret: match client.secret_name() {
            None => SecretState::NotRequired,
            Some(name) if client.spec.existing_secret_ref.is_some() => SecretState::Found { name },
            Some(name) => SecretState::Generated { name, rotating: false },
        },
        ..facts(client, Registered::Unknown)
    };
    let details = Details {
        secret_name: status.secret_name,
        rotated_at: status.secret_rotated_at.map(|time| time.0),
        incidents: Vec::new(),
    };
    status::update(client, &facts, details, client.resource_version(), context).await?;
    Ok(Action::requeue(REVIEW_OF_LABELS))
}

/// Schedules the retry of a failed reconcile, with an increasing delay.
#[expect(clippy::needless_pass_by_value, reason = "the signature is the controller's")]
pub(crate) fn retry(client: Arc<ObservedClient>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let failures = context
        .with_memory(&client.uid().unwrap_or_default(), |memory| memory.failures.count(Instant::now()));
    let delay = decide_retry_delay(failures);
    tracing::warn!(
        namespace = client.namespace(),
        name = client.name_any(),
        error = %ErrorChain(error),
        failures,
        again_in = ?delay,
        "a reconcile of an AuthClient failed and is retried"
    );
    Action::requeue(delay)
}

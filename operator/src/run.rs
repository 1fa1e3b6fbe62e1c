//! Runs the operator: HTTP endpoints, leader election, watches, controller.

use std::convert::Infallible;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::{self, UnboundedReceiver};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use kube::Config;
use kube::runtime::controller::{self, applier};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::auth_client;
use crate::auth_service::context::{ClientParts, Context, Images, Installation, Place};
use crate::auth_service::images::with_registry;
use crate::auth_service::pace::Pace;
use crate::auth_service::{self, references::RULES};
use crate::cli::RunArguments;
use crate::cluster::cache::Cache;
use crate::cluster::clients::Clients;
use crate::cluster::fence::Fence;
use crate::cluster::instrumentation::Instrumentation;
use crate::cluster::watches;
use crate::controller::debounce::debounce;
use crate::controller::health::{self, Readiness};
use crate::controller::leader::{Election, LeaderError, Terms};
use crate::error_chain::ErrorChain;
use crate::metrics::Metrics;
use crate::names::{OPERATOR, lease};
use crate::registrations::Registrations;
use crate::responsibility::Scope;

/// How long running reconciles may take to finish when the operator stops.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How long responses to writes are awaited after that.
const FINISH_WITHIN: Duration = Duration::from_secs(1);

/// The timeout for releasing the lease.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);

/// Why the operator stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The client configuration could not be loaded.
    #[error("no cluster is configured: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// The client could not be created.
    #[error("the client for the API server could not be made: {0}")]
    Client(#[from] kube::Error),
    /// The listen address is in use or not available.
    #[error("cannot listen on {address}: {source}")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    /// A metric is declared incorrectly.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// The lease was lost.
    #[error(transparent)]
    Leader(#[from] LeaderError),
    /// The controller ended unexpectedly.
    #[error("the controller ended by itself")]
    ControllerEnded,
    /// The system returned no random bytes.
    #[error("the system returned no random bytes")]
    Random,
}

/// Resolves on SIGTERM or SIGINT.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Runs until `stop` resolves, which is a clean end, or until a fatal error.
///
/// # Errors
/// What was wrong.
pub async fn run(arguments: RunArguments, stop: impl Future<Output = ()> + Send) -> Result<(), RunError> {
    let metrics = Metrics::new()?;
    let readiness = Readiness::default();
    let address = arguments.listen_addr;
    let refused = |source| RunError::Listen { address, source };
    let listener = latchkey_listener::listen(address).and_then(TcpListener::from_std).map_err(refused)?;
    tracing::info!(
        addr = %listener.local_addr().map_err(refused)?,
        version = env!("CARGO_PKG_VERSION"),
        "listening"
    );
    let routes = health::router(metrics.clone(), readiness.clone());
    let http = tokio::spawn(axum::serve(listener, routes).into_future());

    let config = Config::infer().await?;
    let namespace = arguments.pod_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let fence = if arguments.leader_elect { Fence::closed() } else { Fence::open() };
    let instrumentation: Arc<dyn Instrumentation> = Arc::new(metrics.clone());
    let clients = Clients::new(&config, &instrumentation, &fence)?;
    let identity = identity(arguments.pod_name.as_deref())?;
    let stop = stop.shared();

    let lease = lease(class_of(&arguments));
    let terms = Terms::default();
    let mut election = arguments.leader_elect.then(|| {
        Election::new(clients.election.clone(), (&namespace, &lease), identity, terms, fence.clone())
    });
    if let Some(election) = election.as_mut() {
        tracing::info!("waiting for leadership");
        tokio::select! {
            () = election.acquire(|answered| readiness.set(answered)) => {}
            () = stop.clone() => return Ok(()),
        }
        tracing::info!("leading");
    }
    metrics.set_leader(true);
    readiness.set(false);
    let reconciling = reconcile_until(stop, clients, &arguments, metrics.clone(), readiness);
    let ended = match election.as_mut() {
        None => reconciling.await,
        Some(election) => {
            // When the lease is lost, running reconciles are dropped, and the fence blocks their writes: another
            // replica may already be active.
            let ended = tokio::select! {
                ended = reconciling => ended,
                lost = election.hold() => Err(lost.into()),
            };
            metrics.set_leader(false);
            if !matches!(ended, Err(RunError::Leader(_))) {
                give_up_lease(election, &fence, &terms).await;
            }
            ended
        }
    };
    metrics.set_leader(false);
    http.abort();
    tracing::info!("stopped");
    ended
}

/// Releases the lease when no write can follow any more. If the API server did not respond to a write, it may still
/// carry it out; then the lease must expire, as after a crash.
async fn give_up_lease(election: &mut Election, fence: &Fence, terms: &Terms) {
    if !fence.finish(FINISH_WITHIN, terms.margin()).await {
        tracing::warn!("a write was not answered; the lease is not released and must expire");
        return;
    }
    match tokio::time::timeout(RELEASE_WITHIN, election.release()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = %ErrorChain(&error), "the lease was not released and must expire");
        }
        Err(_) => tracing::warn!("the lease was not released in time and must expire"),
    }
}

async fn reconcile_until(
    stop: impl Future<Output = ()> + Send + Clone,
    clients: Clients,
    arguments: &RunArguments,
    metrics: Metrics,
    readiness: Readiness,
) -> Result<(), RunError> {
    let cache = Cache::new(RULES);
    let (triggers, triggered) = mpsc::unbounded();
    let (client_triggers, clients_triggered) = mpsc::unbounded();
    let (auth_services, auth_clients, _watches) = watches::start(
        clients.watches,
        watched(&arguments.watch_namespace),
        cache.clone(),
        Arc::new(metrics.clone()),
        (triggers.clone(), client_triggers.clone()),
    );
    let installation = Installation {
        images: Images {
            server: with_registry(&arguments.server_image, &arguments.image_registry),
            postgres: with_registry(&arguments.postgres_image, &arguments.image_registry),
            valkey: with_registry(&arguments.valkey_image, &arguments.image_registry),
            registry: arguments.image_registry.trim_end_matches('/').to_owned(),
            pull_names: arguments.image_pull_names.iter().filter(|name| !name.is_empty()).cloned().collect(),
        },
        assigns_users: arguments.assign_pod_users,
    };
    tokio::select! {
        ready = async { (cache.wait_until_ready().await, auth_services.wait_until_ready().await) } => {
            if ready.0.is_err() || ready.1.is_err() {
                return Err(RunError::ControllerEnded);
            }
        }
        () = stop.clone() => return Ok(()),
    }
    let client = clients.requests;
    let namespace = arguments.pod_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let class = class_of(arguments);
    let scope = Scope {
        class: class.map(str::to_owned),
        selector: arguments.selector.0.clone(),
        identity: format!("{namespace}/{}", lease(class)),
    };
    metrics.show_auth_services(auth_services.clone(), scope.clone());
    metrics.show_auth_clients(auth_clients.clone());
    readiness.set(true);
    tracing::info!("the initial lists are complete; reconciling");

    let registrations = Registrations::default();
    let client_context = auth_client::context::Context::new(auth_client::context::Parts {
        client: client.clone(),
        cache: cache.clone(),
        auth_services: auth_services.clone(),
        auth_clients: auth_clients.clone(),
        registrations: registrations.clone(),
        scope: scope.clone(),
        triggers: triggers.clone(),
        metrics: metrics.clone(),
        pod_name: arguments.pod_name.clone(),
    });
    let place = Place { scope, namespace, pod_name: arguments.pod_name.clone() };
    let most = usize::from(arguments.max_rollouts);
    let turns = Pace::new(most, auth_services.clone(), triggers, metrics.clone());
    let parts = ClientParts { auth_clients: auth_clients.clone(), registrations, triggers: client_triggers };
    let context = Context::new(client, cache, installation, metrics, place, (turns, parts));
    let services = applier(
        |object, context: Arc<Context>| auth_service::reconcile(object, context).boxed(),
        auth_service::retry,
        context,
        auth_services,
        Box::pin(queue(triggered, stop.clone())),
        // [`crate::controller::concurrency`] limits the concurrency.
        controller::Config::default().concurrency(0),
    );
    let clients = applier(
        |object, context: Arc<auth_client::context::Context>| auth_client::reconcile(object, context).boxed(),
        auth_client::retry,
        client_context,
        auth_clients.store(),
        Box::pin(queue(clients_triggered, stop.clone())),
        controller::Config::default().concurrency(0),
    );
    let stopping = stop.clone();
    let clients = async {
        // Not before their definition is installed.
        tokio::select! {
            () = auth_clients.wait_until_complete() => drive(clients).await,
            () = stopping => {}
        }
    };
    let working = futures::future::join(drive(services), clients).map(drop);
    let mut working = std::pin::pin!(working);
    tokio::select! {
        // Stopping ends the queue, and thereby the work: if there is nothing to finish, both resolve at the same
        // time.
        () = &mut working => {
            return if stop.now_or_never().is_some() { Ok(()) } else { Err(RunError::ControllerEnded) };
        }
        () = stop.clone() => {}
    }
    if tokio::time::timeout(STOP_WITHIN, working).await.is_err() {
        tracing::warn!("reconciles in progress were aborted");
    }
    Ok(())
}

/// The objects to reconcile, until the operator stops.
fn queue<T: Hash + Eq + Clone>(
    triggered: UnboundedReceiver<T>,
    stop: impl Future<Output = ()>,
) -> impl Stream<Item = Result<T, Infallible>> {
    debounce(triggered).map(Ok).take_until(stop)
}

/// Reconciles until the queue ends.
async fn drive<T, E>(reconciles: impl Stream<Item = Result<T, controller::Error<E, Infallible>>>)
where
    E: std::error::Error + 'static,
{
    let mut reconciles = std::pin::pin!(reconciles);
    loop {
        match reconciles.try_next().await {
            Ok(None) => break,
            // Done; or the object was deleted while a reconcile was due.
            Ok(Some(_)) | Err(controller::Error::ObjectNotFound(_)) => {}
            Err(error) => tracing::debug!(error = %ErrorChain(&error), "a reconcile failed"),
        }
    }
}

/// The class of this operator, if it has one.
fn class_of(arguments: &RunArguments) -> Option<&str> {
    Some(arguments.operator_class.as_str()).filter(|class| !class.is_empty())
}

/// The namespaces to watch, each once; empty for all.
fn watched(namespaces: &[String]) -> Vec<String> {
    let mut namespaces: Vec<String> =
        namespaces.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    namespaces.sort();
    namespaces.dedup();
    namespaces
}

/// The pod's name with a random suffix: a restarted pod is a new participant.
fn identity(pod_name: Option<&str>) -> Result<String, RunError> {
    let mut random = [0; 6];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| RunError::Random)?;
    Ok(format!("{}_{}", pod_name.unwrap_or(OPERATOR), hex::encode(random)))
}

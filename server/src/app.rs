//! Starts the application from its settings, and stops it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use latchkey_config::{Email, HashLimits, Settings, displayed_domain};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cgroup::{available_cores, memory_limit};
use crate::crypto::HashPool;
use crate::http::connections::{self, Connections};
use crate::http::management::ManagementState;
use crate::http::{ApiState, BrowserPolicy, SharedState, api_router, management_router};
use crate::limits::Limits;
use crate::login_probe;
use crate::mail::{Deliverer, EMAIL_TOKEN_LIFETIME, MailSender, OutboxWorker, Templates};
use crate::metrics::Metrics;
use crate::open_files;
use crate::readiness::Readiness;
use crate::revocation::Revocation;
use crate::service::{
    Dependencies, FirstSuperuserError, Housekeeper, Service, UserForm, create_first_superuser,
    keep_ending_cut_off_sessions, keep_recording_credentials,
};
use crate::start_inputs::{Faults, StartInputs};
use crate::store::Store;
use crate::token_review::TokenReviews;
use crate::watches::{follow_database_login, watch_clients, watch_connection_limit, watch_keys};

/// How long the server accepts requests after readiness has failed, so that load balancers notice first.
const NOTICE: Duration = Duration::from_secs(3);
/// How long the work of [`App::spawn_background`] waits for the first readiness at most.
const BACKGROUND_DELAY: Duration = Duration::from_secs(1);
/// How long requests in flight may take to finish.
const DRAIN: Duration = Duration::from_secs(20);

/// Connections to the management port. The operator, Prometheus and the kubelet need a few.
const MANAGEMENT_CONNECTIONS: usize = 64;
/// Open files that are not connections of clients to the API: connections to PostgreSQL, Redis and SMTP, the
/// management port, files that are read.
const RESERVED_FILES: usize = 256;

const FIRST_SUPERUSER_DUE: &str = "the first superuser is yet to be made";

/// A bound, running application.
pub struct App {
    /// The address of the API.
    pub api_addr: SocketAddr,
    /// The address of health, metrics and status.
    pub management_addr: SocketAddr,
    readiness: Arc<Readiness>,
    store: Store,
    stop_taking: CancellationToken,
    stop_working: CancellationToken,
    servers: TaskTracker,
    workers: TaskTracker,
}

impl App {
    /// Binds both ports and starts the workers. Waits for unavailable dependencies in the background.
    ///
    /// # Errors
    /// Each port that is in use: a fault that does not pass by itself.
    pub fn start(settings: &Settings, inputs: StartInputs) -> anyhow::Result<Self> {
        let revocation = Revocation::new(Arc::clone(&inputs.redis), inputs.store.clone(), settings.issuer());
        let metrics = Arc::new(Metrics::new()?);
        let hashing = HashPool::with_pepper(derive_hash_limits(settings), inputs.password_pepper)?;
        let outbox_wake = Arc::new(Notify::new());
        let outbox = build_outbox(settings, inputs.mail, &inputs.store, &outbox_wake, &metrics);
        let token_reviews = build_token_reviews(settings);
        let readiness = Readiness::new(
            inputs.store.clone(),
            Arc::clone(&revocation),
            Arc::clone(&inputs.ring),
            Arc::clone(&hashing),
            outbox.clone(),
            token_reviews.clone(),
        );
        let dependencies = Dependencies {
            store: inputs.store.clone(),
            revocation: Arc::clone(&revocation),
            limits: Arc::new(Limits::new(inputs.redis)),
            hashing: Arc::clone(&hashing),
            ring: Arc::clone(&inputs.ring),
            clients: Arc::clone(&inputs.clients),
            token_reviews: token_reviews.clone(),
            outbox_wake,
            metrics: Arc::clone(&metrics),
        };
        let probe_service = settings
            .login_probe
            .then(|| Service::for_login_probe(settings, dependencies.clone()))
            .transpose()?;
        let service = Arc::new(Service::new(settings, inputs.introspection_client, dependencies));

        let mut faults = Faults::default();
        let api = faults.keep(bind("LISTEN_ADDR", settings.listen_addr));
        let management = faults.keep(bind("MANAGEMENT_ADDR", settings.management_addr));
        let (Some(api), Some(management)) = (api, management) else { return Err(faults.into()) };
        let app = Self {
            api_addr: api.local_addr()?,
            management_addr: management.local_addr()?,
            readiness: Arc::clone(&readiness),
            store: inputs.store,
            stop_taking: CancellationToken::new(),
            stop_working: CancellationToken::new(),
            servers: TaskTracker::new(),
            workers: TaskTracker::new(),
        };
        let state = ApiState(Arc::new(SharedState {
            service: Arc::clone(&service),
            readiness: Arc::clone(&readiness),
            trusted_proxies: settings.trusted_proxies.clone().into(),
            metrics: Arc::clone(&metrics),
        }));
        let api_connections = Connections::new(admissible_connections(settings), Some(Arc::clone(&metrics)));
        let management_connections = Connections::new(MANAGEMENT_CONNECTIONS, None);
        let management_state = ManagementState {
            readiness: Arc::clone(&readiness),
            metrics: Arc::clone(&metrics),
            connections: Arc::clone(&api_connections),
            service: Arc::clone(&service),
            clients: Arc::clone(&inputs.clients),
            longest_token_lifetime: longest_token_lifetime(settings),
        };
        // The management port outlives the API's, so that readiness is seen to fail while requests drain.
        let browsers = BrowserPolicy::new(settings.issuer(), &settings.cors_allowed_origins);
        let (api_router, management_router) =
            (api_router(state, browsers)?, management_router(management_state));
        let stop = app.stop_taking.clone();
        app.servers.spawn(connections::serve(api, api_router, api_connections, inputs.tls.clone(), stop));
        let stop = app.stop_working.clone();
        app.workers.spawn(connections::serve(
            management,
            management_router,
            management_connections,
            None,
            stop,
        ));
        app.spawn_worker(revocation.keep_up(app.stop_working.clone()));
        let housekeeper = build_housekeeper(settings, app.store.clone(), Arc::clone(&metrics));
        app.spawn_worker(follow_database_login(settings.clone(), inputs.database_url, app.store.clone()));
        app.spawn_background(watch_connection_limit(app.store.clone(), Arc::clone(&readiness)));
        if let Some(tls) = inputs.tls {
            app.spawn_worker(tls.follow(Arc::clone(&metrics)));
        }
        app.spawn_worker(watch_clients(inputs.clients, Arc::clone(&metrics)));
        app.spawn_worker(watch_keys(inputs.ring, metrics));
        if let Some(token_reviews) = token_reviews {
            app.spawn_worker(token_reviews.keep_checking());
        }
        app.spawn_background(housekeeper.keep_house());
        app.spawn_background(keep_ending_cut_off_sessions(app.store.clone()));
        app.follow_revocations(&service);
        app.spawn_worker(hashing.release_idle_memory());
        if let Some(outbox) = outbox {
            app.workers.spawn(outbox.run(app.stop_working.clone()));
        }
        if let Some(probe_service) = probe_service {
            app.spawn_worker(login_probe::run_probes(probe_service, Arc::clone(&readiness)));
        }
        if let Some(form) = inputs.first_superuser {
            readiness.set_first_superuser_fault(Some(FIRST_SUPERUSER_DUE.to_owned()));
            app.spawn_worker(keep_creating_first_superuser(service, readiness, form));
        }
        Ok(app)
    }

    /// For verifiers that follow the feed of revocations.
    fn follow_revocations(&self, service: &Arc<Service>) {
        self.workers.spawn(keep_feed(Arc::clone(service), self.stop_taking.clone()));
        let recorder = Arc::clone(service);
        self.spawn_background(async move { keep_recording_credentials(&recorder).await });
    }

    /// Stops in an order that loses no request: readiness fails, the API keeps accepting requests for [`NOTICE`], requests
    /// in flight finish, workers end, connections close.
    pub async fn stop(self) {
        self.readiness.begin_stopping();
        tokio::time::sleep(NOTICE).await;
        self.stop_taking.cancel();
        self.servers.close();
        if tokio::time::timeout(DRAIN, self.servers.wait()).await.is_err() {
            tracing::warn!("requests were still in flight when the drain timeout expired");
        }
        self.stop_working.cancel();
        self.workers.close();
        if tokio::time::timeout(DRAIN, self.workers.wait()).await.is_err() {
            tracing::warn!("a worker was still busy when the drain timeout expired");
        }
        self.store.close().await;
    }

    /// Runs a worker that no request waits for. It begins when this replica has been ready for the first time, or after
    /// [`BACKGROUND_DELAY`]: each of these workers opens a connection to the database, which would delay readiness.
    fn spawn_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let readiness = Arc::clone(&self.readiness);
        self.spawn_worker(async move {
            let _ = tokio::time::timeout(BACKGROUND_DELAY, readiness.has_been_ready()).await;
            work.await;
        });
    }

    /// Runs a worker until the application stops.
    fn spawn_worker(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop_working.clone();
        self.workers.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }
}

fn build_housekeeper(settings: &Settings, store: Store, metrics: Arc<Metrics>) -> Housekeeper {
    Housekeeper {
        store,
        metrics,
        audit_retention: TimeDelta::days(settings.audit_retention.get().into()),
        unconfirmed_age: EMAIL_TOKEN_LIFETIME
            + TimeDelta::days(settings.registration.unverified_retention.get().into()),
    }
}

/// The limits of the hash pool: from the cores and the CPU quota, the memory limit, and the setting.
fn derive_hash_limits(settings: &Settings) -> HashLimits {
    let cores = available_cores();
    let memory_limit = memory_limit();
    let limits = HashLimits::derive(cores, memory_limit, settings.password_hash_workers);
    tracing::info!(
        workers = limits.workers,
        cores,
        memory_limit_mib = memory_limit.map(|bytes| bytes / 1024 / 1024),
        "passwords are hashed by this many workers"
    );
    limits
}

/// The number of connections that the settings and the limit of open files allow.
fn admissible_connections(settings: &Settings) -> usize {
    let wanted = usize::try_from(settings.max_connections.get()).unwrap_or(usize::MAX);
    let files = open_files::raise_limit();
    let admissible = files.saturating_sub(RESERVED_FILES).clamp(1, wanted);
    if admissible < wanted {
        tracing::warn!(
            limit = admissible,
            "MAX_CONNECTIONS is lowered, because the limit of open files (ulimit -n) is {files}"
        );
    }
    admissible
}

fn bind(name: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = latchkey_listener::listen(address).and_then(TcpListener::from_std);
    listener.with_context(|| format!("{name} {address} cannot be listened on"))
}

fn longest_token_lifetime(settings: &Settings) -> i64 {
    settings.access_token_lifetime.max(settings.refresh_token_lifetime).as_seconds()
}

fn build_token_reviews(settings: &Settings) -> Option<Arc<TokenReviews>> {
    let access = settings.workload_identity.as_ref()?;
    Some(TokenReviews::new(access, settings.issuer()))
}

fn build_outbox(
    settings: &Settings,
    mail: Option<(MailSender, Templates)>,
    store: &Store,
    wake: &Arc<Notify>,
    metrics: &Arc<Metrics>,
) -> Option<Arc<OutboxWorker>> {
    let (email, (sender, templates)) = settings.email.as_ref().zip(mail)?;
    let deliverer = Deliverer {
        store: store.clone(),
        sender,
        templates: Arc::new(templates),
        link_base: settings.public_base().to_owned(),
        service_name: service_name(email, settings),
        default_locale: settings.accounts.default_locale.clone(),
    };
    Some(OutboxWorker::new(deliverer, Arc::clone(wake), Arc::clone(metrics)))
}

/// The name of the service in e-mails: the sender's name, or else the host of the links.
fn service_name(email: &Email, settings: &Settings) -> String {
    let host = || {
        let host =
            settings.public_url.as_ref().unwrap_or(&settings.issuer_url).host_str().unwrap_or_default();
        displayed_domain(host).into_owned()
    };
    email.from_name.clone().filter(|name| !name.is_empty()).unwrap_or_else(host)
}

/// Ends with the first requests that are refused, so that those that wait for a change do not delay the stop.
async fn keep_feed(service: Arc<Service>, stop: CancellationToken) {
    service.follow_feed(stop).await;
}

async fn keep_creating_first_superuser(service: Arc<Service>, readiness: Arc<Readiness>, form: UserForm) {
    const INTERVAL: Duration = Duration::from_millis(500);
    loop {
        match create_first_superuser(&service, &form).await {
            Ok(made) => {
                if made {
                    tracing::info!(username = form.username, "the first superuser was created");
                }
                readiness.set_first_superuser_fault(None);
                // A database that was lost and recreated has no superuser either.
                readiness.schema_found_missing().await;
                readiness.set_first_superuser_fault(Some(FIRST_SUPERUSER_DUE.to_owned()));
            }
            Err(error @ FirstSuperuserError::Refused(_)) => {
                let reason = error.to_string();
                tracing::error!(reason, "the first superuser cannot be made");
                readiness.set_first_superuser_fault(Some(reason));
                return;
            }
            Err(FirstSuperuserError::TryAgain(reason)) => {
                tracing::debug!(reason, "the first superuser cannot be made yet");
                tokio::time::sleep(INTERVAL).await;
            }
        }
    }
}

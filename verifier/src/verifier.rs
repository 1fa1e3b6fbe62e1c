//! The verifier and its settings.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::error::Refusal;
use crate::feed::{Feed, FeedClient, Follower, Progress};
use crate::keys::{Keys, Source, Times};
use crate::token::{Rules, Token, verify};

/// The settings of a [`Verifier`].
pub struct Builder {
    rules: Rules,
    http: reqwest::Client,
    base: String,
    keys_file: Option<PathBuf>,
    times: Times,
    client: Option<FeedClient>,
    max_staleness: Duration,
}

impl Builder {
    fn new(issuer: &str, audience: &str) -> Self {
        let issuer = issuer.trim_end_matches('/').to_owned();
        Self {
            base: issuer.clone(),
            rules: Rules { issuer, audience: audience.to_owned(), leeway: 30 },
            http: reqwest::Client::new(),
            keys_file: None,
            times: Times { interval: Duration::from_mins(5), max_age: Duration::from_hours(1) },
            client: None,
            max_staleness: Duration::from_secs(30),
        }
    }

    /// The HTTP client for keys and the feed, for example with certificate authorities. An application that reaches the
    /// server by HTTPS enables a TLS feature of reqwest.
    #[must_use]
    pub fn http(mut self, http: reqwest::Client) -> Self {
        self.http = http;
        self
    }

    /// The address of the server, if it is not that of the issuer: for example that of its Service.
    #[must_use]
    pub fn server(mut self, address: &str) -> Self {
        address.trim_end_matches('/').clone_into(&mut self.base);
        self
    }

    /// Reads the keys from a file instead, for example that of the mounted ConfigMap `NAME-jwks`.
    #[must_use]
    pub fn keys_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.keys_file = Some(path.into());
        self
    }

    /// How often the keys are fetched; 5 minutes by default. A shorter one is taken for 10 seconds.
    #[must_use]
    pub fn keys_interval(mut self, interval: Duration) -> Self {
        self.times.interval = interval.max(Duration::from_secs(10));
        self
    }

    /// How long keys are used that cannot be fetched again; an hour by default.
    #[must_use]
    pub fn keys_max_age(mut self, max_age: Duration) -> Self {
        self.times.max_age = max_age;
        self
    }

    /// How far the clocks may differ; 30 seconds by default.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.rules.leeway = leeway.as_secs();
        self
    }

    /// Follows the feed of revocations as this client.
    #[must_use]
    pub fn feed(mut self, client: FeedClient) -> Self {
        self.client = Some(client);
        self
    }

    /// How old the list of revocations may be; 30 seconds by default, and at least 2. If it is older, no token is accepted.
    #[must_use]
    pub fn max_staleness(mut self, max_staleness: Duration) -> Self {
        self.max_staleness = max_staleness.max(Duration::from_secs(2));
        self
    }

    /// Starts to fetch in the background, until the last clone of the verifier is dropped. Until the first fetches have
    /// succeeded, no token is accepted.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(self) -> Verifier {
        let Self { rules, http, base, keys_file, times, client, max_staleness } = self;
        let source = match keys_file {
            Some(path) => Source::File(path),
            None => Source::Url(format!("{base}/.well-known/jwks.json")),
        };
        let keys = Keys::new(source, http.clone(), times);
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&keys).keep_fresh());
        let feed = client.map(|client| {
            let feed = Feed::new(max_staleness);
            let follower = Follower {
                feed: Arc::clone(&feed),
                keys: Arc::clone(&keys),
                rules: rules.clone(),
                http,
                base,
                client,
                progress: Progress::default(),
            };
            tasks.spawn(follower.follow());
            feed
        });
        Verifier(Arc::new(Inner { rules, keys, feed, _tasks: tasks }))
    }
}

/// Verifies access tokens. Cheap to clone.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    rules: Rules,
    keys: Arc<Keys>,
    feed: Option<Arc<Feed>>,
    /// Dropping them ends them.
    _tasks: JoinSet<()>,
}

impl Verifier {
    /// The settings of a verifier for the tokens of this issuer with this audience.
    pub fn builder(issuer: &str, audience: &str) -> Builder {
        Builder::new(issuer, audience)
    }

    /// Checks an access token: signature, type, issuer, audience, expiry, and revocation as far as the feed has told.
    ///
    /// # Errors
    /// [`Refusal::InvalidToken`]; [`Refusal::Unavailable`] if it cannot be checked.
    pub async fn verify(&self, token: &str) -> Result<Token, Refusal> {
        let token = verify(&self.0.keys, &self.0.rules, token).await?;
        if let Some(feed) = &self.0.feed {
            feed.check(&token)?;
        }
        Ok(token)
    }

    /// Whether tokens can be checked now, for a readiness probe.
    pub fn is_ready(&self) -> bool {
        self.0.keys.current().is_some() && self.0.feed.as_ref().is_none_or(|feed| feed.is_ready())
    }
}

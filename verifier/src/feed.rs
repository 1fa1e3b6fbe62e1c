//! Following the feed of revocations.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use serde::Deserialize;

use crate::error::{FetchError, Refusal};
use crate::keys::Keys;
use crate::revocations::{Page, Revocations};
use crate::token::{Rules, Token, verify_page};

/// The longest that the server lets a request wait, in seconds.
const LONGEST_WAIT: u64 = 30;
/// Longer than the wait that the server was asked for.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The time to the next attempt after a failure.
const RETRY: Duration = Duration::from_millis(500);
/// Between two looks for entries that can be forgotten.
const FORGET_INTERVAL: Duration = Duration::from_mins(1);

/// The client that reads the feed of revocations: registered with the scope `revocations.read`.
#[derive(Clone)]
pub struct FeedClient {
    id: String,
    secret: String,
    resource: Option<String>,
}

impl FeedClient {
    /// A client with this id and secret.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { id: id.into(), secret: secret.into(), resource: None }
    }

    /// Requests the token for this audience, if the client has several: that of the server (`TOKEN_AUDIENCE`).
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resource = Some(resource.into());
        self
    }
}

/// What is known of the feed.
pub(crate) struct Feed {
    state: RwLock<State>,
    max_staleness: Duration,
}

#[derive(Default)]
struct State {
    known: Revocations,
    /// When the last request was sent whose answer completed the list: it contains everything that was revoked before.
    complete_at: Option<Instant>,
}

impl Feed {
    pub(crate) fn new(max_staleness: Duration) -> Arc<Self> {
        Arc::new(Self { state: RwLock::default(), max_staleness })
    }

    /// Refuses a token that was revoked, and every token if the list is too old.
    pub(crate) fn check(&self, token: &Token) -> Result<(), Refusal> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if !self.is_fresh(&state) {
            return Err(Refusal::Unavailable);
        }
        if state.known.covers(token) { Err(Refusal::InvalidToken) } else { Ok(()) }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.is_fresh(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_fresh(&self, state: &State) -> bool {
        state.complete_at.is_some_and(|at| at.elapsed() <= self.max_staleness)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Reads the feed in the background.
pub(crate) struct Follower {
    pub(crate) feed: Arc<Feed>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) rules: Rules,
    pub(crate) http: reqwest::Client,
    /// Where the server is.
    pub(crate) base: String,
    pub(crate) client: FeedClient,
    pub(crate) progress: Progress,
}

#[derive(Default)]
pub(crate) struct Progress {
    cursor: Option<String>,
    /// A list that begins anew and is not complete yet; the previous one is used until then.
    pending: Option<Revocations>,
    /// The access token, and when to get the next one.
    access: Option<(String, Instant)>,
    forgotten_at: Option<Instant>,
}

#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    expires_in: u64,
}

impl Follower {
    /// Never returns.
    pub(crate) async fn follow(mut self) {
        loop {
            if let Err(error) = self.read().await {
                tracing::warn!(%error, "the feed of revocations could not be read");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Half of the staleness that is allowed is spent waiting, the other half is for a failure.
    fn wait(&self) -> u64 {
        (self.feed.max_staleness.as_secs() / 2).min(LONGEST_WAIT)
    }

    async fn read(&mut self) -> Result<(), FetchError> {
        let access = self.access_token().await?;
        let wait = self.wait();
        let mut url = format!("{}/api/v1/auth/revocations?wait={wait}", self.base);
        if let Some(cursor) = &self.progress.cursor {
            url = format!("{url}&after={cursor}");
        }
        let (sent_at, sent) = (Instant::now(), unix_time());
        let request = self.http.get(url).bearer_auth(access).timeout(Duration::from_secs(wait) + TIMEOUT);
        let response = request.send().await?;
        match response.status() {
            StatusCode::OK => {}
            status => {
                if status == StatusCode::UNAUTHORIZED {
                    self.progress.access = None;
                }
                return Err(FetchError::Status(status));
            }
        }
        let page: Page = verify_page(&self.keys, &self.rules, &response.text().await?)
            .await
            .map_err(|_| FetchError::Invalid("its signature or its content"))?;
        if page.after != self.progress.cursor {
            return Err(FetchError::Invalid("it is the answer to another request"));
        }
        // An old answer, sent again, would hide what was revoked since.
        if page.iat.saturating_add_unsigned(self.rules.leeway) < sent {
            return Err(FetchError::Invalid("it was made before the request, or the clocks differ"));
        }
        self.take(page, sent_at);
        Ok(())
    }

    fn take(&mut self, page: Page, sent_at: Instant) {
        let progress = &mut self.progress;
        progress.cursor = Some(page.cursor.clone());
        let is_last = !page.more;
        if page.reset {
            progress.pending = Some(Revocations::default());
        }
        if let Some(pending) = &mut progress.pending {
            pending.add(page);
        } else {
            self.feed.update(|state| state.known.add(page));
        }
        if !is_last {
            return;
        }
        let is_due = progress.forgotten_at.is_none_or(|at| at.elapsed() >= FORGET_INTERVAL);
        if is_due {
            progress.forgotten_at = Some(Instant::now());
        }
        let pending = progress.pending.take();
        self.feed.update(|state| {
            if let Some(pending) = pending {
                state.known = pending;
            }
            if is_due {
                state.known.forget_expired(unix_time());
            }
            state.complete_at = Some(sent_at);
        });
    }

    async fn access_token(&mut self) -> Result<String, FetchError> {
        if let Some((token, until)) = &self.progress.access
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let client = &self.client;
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", client.id.as_str()),
            ("client_secret", client.secret.as_str()),
            ("scope", "revocations.read"),
        ];
        form.extend(client.resource.as_deref().map(|resource| ("resource", resource)));
        let request = self.http.post(format!("{}/api/v1/auth/token", self.base)).form(&form);
        let asked_at = Instant::now();
        let response = request.timeout(TIMEOUT).send().await?;
        if !response.status().is_success() {
            return Err(FetchError::Status(response.status()));
        }
        let TokenResponse { access_token, expires_in } = response.json().await?;
        // A request that waits must not end with an expired token.
        let until = asked_at + Duration::from_secs(expires_in) / 2;
        self.progress.access = Some((access_token.clone(), until));
        Ok(access_token)
    }
}

/// In seconds.
fn unix_time() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

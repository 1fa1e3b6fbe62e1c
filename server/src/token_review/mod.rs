//! Asking the API server of Kubernetes whether it accepts the token of a service account (TokenReview). It says no when the
//! service account or the pod that the token is bound to was deleted.

mod api_server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use latchkey_config::WorkloadIdentity;
use quick_cache::sync::Cache;
use tokio::sync::Mutex;

use crate::domain::{PodClaims, ServiceAccount};
pub use api_server::ReviewUnavailable;
use api_server::{ApiServer, Status};

/// How long a positive answer is used. A deleted pod loses access within ten seconds: this, the time of a review, and the
/// delay with which the API server learns of its own changes. Negative answers are not kept.
const LIFETIME: Duration = Duration::from_secs(8);
/// The number of answers that are kept, at about 300 bytes each.
const CAPACITY: usize = 8_192;
/// The most concurrent reviews. Those of one token wait for each other, and then find the answer.
const CONCURRENCY: usize = 16;
/// How long a request waits for the answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often the server checks that it may ask.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// An accepted token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewed {
    pub account: ServiceAccount,
    pub pod: PodClaims,
}

/// Whether reviews work, as `/status` reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewState {
    /// Nothing was asked yet.
    Unknown,
    Available,
    /// The service account of this server may not create TokenReviews.
    Forbidden,
    Unavailable,
}

impl ReviewState {
    const ALL: [Self; 4] = [Self::Unknown, Self::Available, Self::Forbidden, Self::Unavailable];

    /// The name in `/status` and in log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Available => "available",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Reviews tokens, and keeps the answers for [`LIFETIME`]. Share it with an [`Arc`].
pub struct TokenReviews {
    api: ApiServer,
    issuer: String,
    /// By the SHA-256 of the token.
    accepted: Cache<[u8; 32], (Instant, Arc<Reviewed>)>,
    turns: Vec<Mutex<()>>,
    /// The position in [`ReviewState::ALL`].
    state: AtomicU8,
}

impl TokenReviews {
    /// `issuer` is the audience of the tokens.
    pub fn new(settings: &WorkloadIdentity, issuer: &str) -> Arc<Self> {
        Arc::new(Self {
            api: ApiServer::new(settings),
            issuer: issuer.to_owned(),
            accepted: Cache::new(CAPACITY),
            turns: (0..CONCURRENCY).map(|_| Mutex::new(())).collect(),
            state: AtomicU8::new(0),
        })
    }

    /// The service account and the pod of the token; `None` if the API server does not accept it for this issuer.
    ///
    /// # Errors
    /// [`ReviewUnavailable`]: nothing is known about the token.
    pub async fn review(&self, token: &str) -> Result<Option<Arc<Reviewed>>, ReviewUnavailable> {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        if let Some(known) = self.known(&key) {
            return Ok(Some(known));
        }
        let review = async {
            let _turn = self.turns[usize::from(key[0]) % CONCURRENCY].lock().await;
            if let Some(known) = self.known(&key) {
                return Ok(Some(known));
            }
            // Before the question: the answer may be as old as that.
            let until = Instant::now() + LIFETIME;
            let status = self.api.review(token, &self.audiences()).await;
            self.observe(&status);
            let reviewed = decide(&status?, &self.issuer).map(Arc::new);
            if let Some(reviewed) = &reviewed {
                self.accepted.insert(key, (until, Arc::clone(reviewed)));
            }
            Ok(reviewed)
        };
        let waited = tokio::time::timeout(DEADLINE, review).await;
        waited.unwrap_or(Err(ReviewUnavailable("it did not answer within the time limit")))
    }

    /// Checks now and then that this server may ask, and never returns.
    pub async fn keep_checking(self: Arc<Self>) {
        loop {
            if let Ok(own) = self.api.own_token().await {
                self.observe(&self.api.review(&own, &[]).await);
            } else {
                self.set_state(ReviewState::Unavailable);
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    /// Whether reviews work.
    pub fn state(&self) -> ReviewState {
        let position = usize::from(self.state.load(Ordering::Relaxed));
        ReviewState::ALL.get(position).copied().unwrap_or(ReviewState::Unknown)
    }

    fn known(&self, key: &[u8; 32]) -> Option<Arc<Reviewed>> {
        let (until, reviewed) = self.accepted.get(key)?;
        (Instant::now() < until).then_some(reviewed)
    }

    /// The API server keeps positive answers for ten seconds too, by the token and these audiences. An audience that no token
    /// has, and that is another one each time, makes it look again.
    fn audiences(&self) -> [String; 2] {
        [self.issuer.clone(), format!("{}#{}", self.issuer, uuid::Uuid::new_v4())]
    }

    fn observe(&self, outcome: &Result<Status, ReviewUnavailable>) {
        self.set_state(match outcome {
            Ok(_) => ReviewState::Available,
            Err(error) if *error == api_server::FORBIDDEN => ReviewState::Forbidden,
            Err(_) => ReviewState::Unavailable,
        });
    }

    fn set_state(&self, state: ReviewState) {
        let position = ReviewState::ALL.iter().position(|known| *known == state).unwrap_or_default();
        let before = self.state.swap(u8::try_from(position).unwrap_or_default(), Ordering::Relaxed);
        if usize::from(before) == position {
            return;
        }
        if state == ReviewState::Available {
            tracing::info!("the API server reviews tokens of service accounts");
        } else {
            tracing::error!(
                state = state.as_str(),
                "tokens of service accounts cannot be reviewed; workloads are answered with 503"
            );
        }
    }
}

/// Whose token it is, if the API server accepts it for this issuer and it is bound to a pod.
fn decide(status: &Status, issuer: &str) -> Option<Reviewed> {
    let user = status.user.as_ref().filter(|_| status.authenticated)?;
    if !status.audiences.iter().any(|audience| audience == issuer) {
        return None;
    }
    let extra = |name: &str| {
        let values = user.extra.get(&format!("authentication.kubernetes.io/{name}"))?;
        let [value] = values.as_slice() else { return None };
        Some(value.clone())
    };
    Some(Reviewed {
        account: ServiceAccount::of_username(&user.username)?,
        pod: PodClaims { name: extra("pod-name")?, uid: extra("pod-uid")? },
    })
}

/// The answer of the API server.
#[cfg(any(test, fuzzing))]
pub fn fuzz_answer(data: &[u8]) {
    if let Ok(status) = api_server::parse(data) {
        let reviewed = decide(&status, "https://auth.example");
        assert!(reviewed.is_none() || status.authenticated);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn reviewed(change: &Value) -> Option<Reviewed> {
        let mut status = json!({
            "authenticated": true,
            "user": {
                "username": "system:serviceaccount:shop:orders",
                "extra": {
                    "authentication.kubernetes.io/pod-name": ["orders-1"],
                    "authentication.kubernetes.io/pod-uid": ["u"],
                },
            },
            "audiences": ["https://auth.example"],
        });
        for (pointer, value) in change.as_object().unwrap() {
            *status.pointer_mut(pointer).unwrap() = value.clone();
        }
        decide(&serde_json::from_value(status).unwrap(), "https://auth.example")
    }

    #[test]
    fn only_a_token_of_a_pod_for_the_issuer_is_accepted() {
        let accepted = reviewed(&json!({})).unwrap();
        assert_eq!((accepted.account.name.as_str(), accepted.pod.name.as_str()), ("orders", "orders-1"));
        for change in [
            json!({"/authenticated": false}),
            json!({"/user": null}),
            json!({"/user/username": "system:serviceaccount:shop"}),
            json!({"/user/username": "admin"}),
            json!({"/user/extra": {}}),
            json!({"/user/extra/authentication.kubernetes.io~1pod-uid": []}),
            json!({"/audiences": []}),
            json!({"/audiences": ["https://kubernetes.default.svc"]}),
        ] {
            assert_eq!(reviewed(&change), None, "{change}");
        }
    }
}

//! The feed of revocations for verifiers that do not ask for each token.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::verify::{Identity, identify_bearer};
use crate::domain::clock::{CLOCK_MARGIN, KEPT_AFTER_EXPIRY};
use crate::service::revocation_feed::{Published, publish};
use crate::service::{Service, ServiceError};
use crate::store::FeedHead;

/// The scope that a client needs to read the feed.
pub const FEED_SCOPE: &str = "revocations.read";
/// The longest time that a request waits for a change.
pub const LONGEST_FEED_WAIT: Duration = Duration::from_secs(30);
/// The largest number of entries in a page.
pub const MAX_FEED_PAGE: i64 = 1_000;

/// The length of an encoded cursor: 24 bytes.
const CURSOR_LENGTH: usize = 32;

/// Where a reader has got to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedCursor {
    /// The server of the database to which the position belongs; a hash.
    server: [u8; 8],
    position: i64,
    /// What a page says beside its entries; a hash.
    state: [u8; 8],
}

/// A request for a page.
#[derive(Debug, Clone, Copy)]
pub struct FeedRequest {
    /// `None` for the first page.
    pub after: Option<FeedCursor>,
    pub limit: i64,
    /// How long to wait for a change.
    pub wait: Duration,
}

/// The claims of a page. There is no `sub`, `aud` and `exp`: even a verifier that ignores `typ` accepts it nowhere.
#[derive(Serialize)]
struct FeedPage<'a> {
    iss: &'a str,
    /// When it was read: everything that was answered before is in this page or in one before it.
    iat: i64,
    /// The cursor of the request.
    after: Option<String>,
    /// The cursor for the next request.
    cursor: String,
    /// Whether the list begins anew with this page.
    reset: bool,
    /// Whether there is another page now.
    more: bool,
    /// Tokens issued before are not valid.
    tokens_valid_from: i64,
    revoked: Vec<Revoked>,
    /// Only in the last page.
    accounts: Option<Vec<EndedAccount>>,
}

#[derive(Serialize)]
struct Revoked {
    /// The `sid`, `jti`, `cred` or one of the `prior_creds` of the tokens.
    id: Uuid,
    /// Until when to refuse them: later they have expired by every clock.
    exp: i64,
}

/// The sessions of an account have ended, except one, and are not in the list one by one yet.
#[derive(Serialize)]
struct EndedAccount {
    sub: String,
    /// Tokens with this or an earlier `iat` are refused.
    issued_until: i64,
    except: Option<Uuid>,
}

impl FeedCursor {
    /// Reads a cursor; `None` if it is none.
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok().filter(|_| text.len() == CURSOR_LENGTH)?;
        let part = |index: usize| -> Option<[u8; 8]> { bytes.get(index * 8..index * 8 + 8)?.try_into().ok() };
        let position = i64::from_be_bytes(part(1)?);
        Some(Self { server: part(0)?, position, state: part(2)? })
    }

    pub fn encode(self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode([self.server, self.position.to_be_bytes(), self.state].concat())
    }

    /// After everything of the feed.
    fn end_of(head: &FeedHead) -> Self {
        let (service, started_at) = head.server;
        let server = hash(&[service.as_bytes(), &started_at.timestamp_micros().to_be_bytes()]);
        let mut state = vec![head.tokens_valid_from.timestamp_micros().to_be_bytes().to_vec()];
        for cutoff in &head.cutoffs {
            state.push(cutoff.user_id.to_be_bytes().to_vec());
            state.push(cutoff.cutoff.timestamp_micros().to_be_bytes().to_vec());
            state.push(cutoff.kept_session_id.unwrap_or_default().as_bytes().to_vec());
        }
        let state: Vec<_> = state.iter().map(Vec::as_slice).collect();
        Self { server, position: head.newest, state: hash(&state) }
    }

    /// Whether a reader at this cursor lacks something of the feed.
    fn lacks(self, head: &FeedHead) -> bool {
        let end = Self::end_of(head);
        head.has_unpublished
            || self.server != end.server
            || self.state != end.state
            || self.position < end.position
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 8] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 8];
    hash.copy_from_slice(&context.finish().as_ref()[..8]);
    hash
}

/// Reads a page of the feed, as a signed JWT, after waiting for a change if one was asked for. The bearer is a client whose
/// token has the scope [`FEED_SCOPE`].
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`]; [`ServiceError::InsufficientScope`], also for a person's token;
/// [`ServiceError::Unavailable`] when the database does not answer.
pub async fn read_revocations(
    service: &Service,
    token: &str,
    request: FeedRequest,
    now: DateTime<Utc>,
) -> Result<String, ServiceError> {
    require_feed_scope(service, token, now).await?;
    if let Some(after) = request.after.filter(|_| !request.wait.is_zero())
        && !after.lacks(&service.store.feed_head().await?)
    {
        service.feed.wait(request.wait, |head| after.lacks(head)).await?;
        // It may have been revoked meanwhile.
        require_feed_scope(service, token, now).await?;
    }
    read_page(service, request).await
}

/// Checks that the bearer may read the feed.
///
/// # Errors
/// As [`read_revocations`].
pub async fn require_feed_scope(
    service: &Service,
    token: &str,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    match identify_bearer(service, token, now).await? {
        Identity::Client(token) => {
            let scope = token.claims().scope.as_deref().unwrap_or_default();
            let has_scope = scope.split(' ').any(|scope| scope == FEED_SCOPE);
            if has_scope { Ok(()) } else { Err(ServiceError::InsufficientScope(FEED_SCOPE)) }
        }
        Identity::Person { .. } | Identity::Exchanged(_) => Err(ServiceError::InsufficientScope(FEED_SCOPE)),
    }
}

async fn read_page(service: &Service, request: FeedRequest) -> Result<String, ServiceError> {
    // Taken before the database is asked.
    let read_at = Utc::now();
    let Published { head, is_complete } = publish(&service.store).await?;
    let end = FeedCursor::end_of(&head);
    let after = request.after.filter(|after| after.server == end.server);
    let position = after.map_or(0, |after| after.position);
    let entries = service.store.feed_page(position, request.limit).await?;
    let is_full = i64::try_from(entries.len()).unwrap_or(i64::MAX) >= request.limit;
    let more = is_full || !is_complete;
    let last = entries.last().map_or(position, |entry| entry.feed_position);
    // The last page covers everything that was visible before it was read.
    let position = if is_full { last } else { last.max(head.newest) };
    let accounts = head.cutoffs.iter().map(|cutoff| EndedAccount {
        sub: cutoff.user_id.to_string(),
        // By the clock of any replica that is ready.
        issued_until: (cutoff.cutoff + CLOCK_MARGIN).timestamp(),
        except: cutoff.kept_session_id,
    });
    // Without the state, so that the next request is not answered as if the reader had it.
    let cursor = FeedCursor { position, state: if more { [0; 8] } else { end.state }, ..end };
    let kind = match after {
        None => "reset",
        Some(after) if after == cursor => "unchanged",
        Some(_) => "changes",
    };
    let page = FeedPage {
        iss: service.issuer(),
        iat: read_at.timestamp(),
        after: request.after.map(FeedCursor::encode),
        cursor: cursor.encode(),
        reset: after.is_none(),
        more,
        tokens_valid_from: head.tokens_valid_from.timestamp(),
        accounts: (!more).then(|| accounts.collect()),
        revoked: entries
            .into_iter()
            .map(|entry| Revoked {
                id: entry.session_id,
                exp: (entry.expires_at + KEPT_AFTER_EXPIRY).timestamp(),
            })
            .collect(),
    };
    let signed = service.feed.signer.sign(&page)?;
    service.metrics.count_feed_page(kind);
    Ok(signed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::SessionCutoff;

    fn head(newest: i64) -> FeedHead {
        FeedHead {
            server: (Uuid::from_u128(1), DateTime::UNIX_EPOCH),
            tokens_valid_from: DateTime::UNIX_EPOCH,
            newest,
            has_unpublished: false,
            cutoffs: Vec::new(),
        }
    }

    #[test]
    fn a_reader_at_the_end_lacks_nothing_and_any_change_is_something_that_it_lacks() {
        let now = head(7);
        let cursor = FeedCursor::end_of(&now);
        assert!(!cursor.lacks(&now));
        // The newest entries have expired and were deleted.
        assert!(!cursor.lacks(&head(3)));
        let cutoff = SessionCutoff { user_id: 1, cutoff: DateTime::UNIX_EPOCH, kept_session_id: None };
        let later = DateTime::from_timestamp(1, 0).unwrap();
        for other in [
            head(8),
            FeedHead { has_unpublished: true, ..head(7) },
            FeedHead { server: (Uuid::from_u128(2), DateTime::UNIX_EPOCH), ..head(7) },
            FeedHead { server: (Uuid::from_u128(1), later), ..head(7) },
            FeedHead { tokens_valid_from: later, ..head(7) },
            FeedHead { cutoffs: vec![cutoff], ..head(7) },
        ] {
            assert!(cursor.lacks(&other), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_is_read_as_it_was_written(server: [u8; 8], position: i64, state: [u8; 8]) {
            let cursor = FeedCursor { server, position, state };
            prop_assert_eq!(FeedCursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[A-Za-z0-9_=-]{0,40}|\\PC{0,40}") {
            if let Some(cursor) = FeedCursor::decode(&text) {
                prop_assert_eq!(cursor.encode(), text);
            }
        }
    }
}

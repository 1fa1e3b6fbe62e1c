//! Signing answers that are not tokens.

use std::sync::Arc;

use jsonwebtoken::Header;
use serde::Serialize;

use super::{KeyRing, TokenError};

/// `typ` of a signed page of the feed of revocations: no verifier takes it for an access token (RFC 8725 §3.11).
pub const FEED_TYPE: &str = "revocations+jwt";

/// Signs pages of the feed of revocations with the active key.
pub struct FeedSigner(Arc<KeyRing>);

impl FeedSigner {
    pub fn new(ring: Arc<KeyRing>) -> Self {
        Self(ring)
    }

    /// Signs a page.
    ///
    /// # Errors
    /// [`TokenError::NoKeys`] before the first key set is loaded.
    pub fn sign(&self, page: &impl Serialize) -> Result<String, TokenError> {
        let keys = self.0.keys().ok_or(TokenError::NoKeys)?;
        let mut header = Header::new(keys.active_algorithm);
        header.typ = Some(FEED_TYPE.to_owned());
        header.kid = Some(keys.active_kid.clone());
        jsonwebtoken::encode(&header, page, &keys.signing).map_err(|_| TokenError::NoKeys)
    }
}

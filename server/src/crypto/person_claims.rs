//! What an access token says about a person for the client that it is issued to.

use serde::Serialize;
use serde_json::{Map, Value};

/// Beside whose the token is. Without a registered client there is nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonClaims {
    /// `scope` (RFC 9068 §2.2.3): the granted scopes, separated by spaces.
    pub scope: Option<String>,
    /// `groups` (RFC 9068 §2.2.3.1): the names of the person's groups, if the client may know them.
    pub groups: Option<Vec<String>>,
    /// The claims of the client, by name. None has the name of one that this service reads
    /// ([`latchkey_clients::rules::claim_name_fault`]).
    pub more: Map<String, Value>,
}

/// The claims of a token with those of a client.
#[derive(Serialize)]
pub(super) struct AllClaims<'a, C: Serialize> {
    #[serde(flatten)]
    pub(super) claims: &'a C,
    #[serde(flatten)]
    pub(super) more: &'a Map<String, Value>,
}

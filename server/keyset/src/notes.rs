//! The operator's notes about keys. They are stored with the keys, so that they survive a restart, the loss of the
//! status and a restored backup. The server reads only [`SetNotes::max_age`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The default of [`SetNotes::max_age`], in seconds.
pub const DEFAULT_MAX_AGE: u32 = 300;

/// The maximum of [`SetNotes::max_age`]: a day.
const LIMIT: u32 = 86_400;

/// The notes about one key. Times are seconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyNotes {
    /// When the key entered its phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// For a published key: when every replica had loaded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loaded_since: Option<i64>,
    /// For a published key: the value of [`SetNotes::max_age`] since the publication, in seconds; `None` if it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
    /// For a retiring key: when every replica had stopped signing with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_until: Option<i64>,
    /// The maximum lifetime of the tokens that it signed, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_lifetime: Option<i64>,
}

/// The notes about the set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SetNotes {
    /// How long verifiers may cache the public set, in seconds: the `max-age` of its `Cache-Control`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
    /// The longest `max-age` of the copies that verifiers may still have in their caches, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_max_age: Option<u32>,
    /// The last handled request of each kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub handled: BTreeMap<String, String>,
    /// The ids of the keys that were removed last. A copy of the set with one of them is older than this set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<String>,
}

impl SetNotes {
    /// How long verifiers may cache the public set, in seconds, with the default and the maximum applied.
    pub fn max_age(&self) -> u32 {
        self.max_age.unwrap_or(DEFAULT_MAX_AGE).min(LIMIT)
    }
}

//! What the operator notes beside the keys, so that a restart, a wiped status and a restored backup lose nothing of
//! it. The server reads [`SetNotes::max_age`] and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How long a verifier may keep the public set where the set does not say, in seconds.
pub const DEFAULT_MAX_AGE: u32 = 300;

/// The longest that a set may ask verifiers to keep it: a day.
const LONGEST_MAX_AGE: u32 = 86_400;

/// What is noted about one key. Times are seconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyNotes {
    /// Since when it is in its phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Published: since when every replica has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loaded_since: Option<i64>,
    /// Published: what [`SetNotes::max_age`] has been all the while, in seconds; none when it was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
    /// Retiring: when every replica had stopped signing with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_until: Option<i64>,
    /// The longest lifetime that a token it signed can have, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_lifetime: Option<i64>,
}

/// What is noted about the set as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SetNotes {
    /// How long a verifier may keep the public set, in seconds: the `max-age` of its `Cache-Control`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
    /// The longest `max-age` that a copy which some verifier still holds was given, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_max_age: Option<u32>,
    /// The requests that were carried out, by what was asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub handled: BTreeMap<String, String>,
    /// The ids of the keys that left the set last: who knows one of them knows an ancestor of this set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<String>,
}

impl SetNotes {
    /// How long a verifier may keep the public set, in seconds: never more than a day.
    pub fn max_age(&self) -> u32 {
        self.max_age.unwrap_or(DEFAULT_MAX_AGE).min(LONGEST_MAX_AGE)
    }
}

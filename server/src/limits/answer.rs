//! The answer to an attempt, from Redis or from the memory of this replica.

use std::time::Duration;

use crate::domain::rate_limit::Refusal;

/// Each bucket's refusals are audited at most once in this interval. `consume.lua` has the same value.
pub(super) const AUDIT_INTERVAL: Duration = Duration::from_mins(1);

pub(super) enum Answer {
    Taken,
    /// `audit`: whether this refusal is the first of its bucket within [`AUDIT_INTERVAL`].
    Refused {
        refusal: Refusal,
        audit: bool,
    },
}

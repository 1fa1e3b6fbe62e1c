//! The answer of Redis or of this replica's memory to an attempt.

use std::time::Duration;

use crate::domain::rate_limit::Refusal;

/// A refusal by the same bucket is audited again after this time. `consume.lua` has the same value.
pub(super) const AUDIT_INTERVAL: Duration = Duration::from_mins(1);

pub(super) enum Answer {
    Taken,
    /// `audit`: whether this refusal is the first of its bucket within [`AUDIT_INTERVAL`].
    Refused {
        refusal: Refusal,
        audit: bool,
    },
}

//! How things stand as a whole, in the words of kstatus, by which Flux, helm and others judge. Pure.
//!
//! kstatus takes `Reconciling` and `Stalled` for what they say only when they are `True`, and goes by `Ready`
//! otherwise; Argo CD needs a health check of its own, see docs/how-to/use-gitops.md.

use latchkey_crds::conditions as types;

use super::facts::{ConditionStatus, Facts, Stated, Verdict, state};

pub(super) fn decide_paused(facts: &Facts<'_>) -> Stated {
    if facts.service.spec.paused {
        state(
            types::PAUSED,
            ConditionStatus::True,
            "Paused",
            "Nothing is changed, repaired or migrated: set spec.paused to false to go on.",
        )
    } else {
        state(
            types::PAUSED,
            ConditionStatus::False,
            "NotPaused",
            "The operator keeps everything as the spec says.",
        )
    }
}

/// What `Ready` and `Progressing` are while reconciling is paused, given what they would be.
pub(super) fn while_paused(
    facts: &Facts<'_>,
    (ready, _, verdict): (Stated, Stated, Verdict),
) -> (Stated, Stated, Verdict) {
    let progressing = state(
        types::PROGRESSING,
        ConditionStatus::False,
        "Paused",
        "Reconciling is paused: Paused says what to do.",
    );
    if !facts.pending {
        return (ready, progressing, verdict);
    }
    let message = "The spec, or what it refers to, asks for something else than what runs, and reconciling is paused: set spec.paused to false to have it applied.";
    (state(types::READY, ConditionStatus::False, "Paused", message), progressing, Verdict::Blocked)
}

pub(super) fn decide_reconciling(progressing: &Stated) -> Stated {
    state(types::RECONCILING, progressing.status, progressing.reason, progressing.message.clone())
}

pub(super) fn decide_stalled(ready: &Stated, verdict: Verdict) -> Stated {
    if verdict == Verdict::Blocked {
        state(types::STALLED, ConditionStatus::True, ready.reason, ready.message.clone())
    } else {
        state(types::STALLED, ConditionStatus::False, "NotStalled", "Nobody has to act.")
    }
}

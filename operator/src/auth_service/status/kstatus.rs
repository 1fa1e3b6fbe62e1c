//! The overall state in the conditions of kstatus, which Flux, Helm and other tools evaluate. Pure.
//!
//! kstatus evaluates `Reconciling` and `Stalled` only if they are `True`, and `Ready` otherwise. Argo CD needs a
//! custom health check, see docs/how-to/use-gitops.md.

use latchkey_crds::conditions as types;

use crate::auth_service::pace::QUEUED;

use super::facts::{ConditionStatus, Facts, Stated, Verdict, state};
use super::scaling::SCALING;

pub(super) fn decide_paused(facts: &Facts<'_>) -> Stated {
    if facts.service.spec.paused {
        state(
            types::PAUSED,
            ConditionStatus::True,
            "Paused",
            "Reconciling is paused; the operator changes nothing. Set spec.paused to false to continue.",
        )
    } else {
        state(types::PAUSED, ConditionStatus::False, "NotPaused", "Reconciling is active.")
    }
}

/// `Ready` and `Progressing` while reconciling is paused, given their values without the pause.
pub(super) fn while_paused(
    facts: &Facts<'_>,
    (ready, _, verdict): (Stated, Stated, Verdict),
) -> (Stated, Stated, Verdict) {
    let progressing = state(types::PROGRESSING, ConditionStatus::False, "Paused", "Reconciling is paused.");
    if !facts.applied.pending {
        return (ready, progressing, verdict);
    }
    let message = "The cluster differs from the spec, and reconciling is paused: set spec.paused to false to apply the spec.";
    (state(types::READY, ConditionStatus::False, "Paused", message), progressing, Verdict::Blocked)
}

pub(super) fn decide_reconciling(facts: &Facts<'_>, progressing: &Stated) -> Stated {
    if progressing.reason == QUEUED {
        let message = "The spec is applied, and an update by the operator waits for its turn.";
        return state(types::RECONCILING, ConditionStatus::False, "Settled", message);
    }
    if progressing.reason == SCALING && facts.service.autoscaling().is_some() {
        let message = "The spec is applied, and the autoscaler changes the number of replicas.";
        return state(types::RECONCILING, ConditionStatus::False, "Settled", message);
    }
    state(types::RECONCILING, progressing.status, progressing.reason, progressing.message.clone())
}

pub(super) fn decide_stalled(ready: &Stated, verdict: Verdict) -> Stated {
    if verdict == Verdict::Blocked {
        state(types::STALLED, ConditionStatus::True, ready.reason, ready.message.clone())
    } else {
        let message =
            if ready.status == ConditionStatus::False { &ready.message } else { "No action is needed." };
        state(types::STALLED, ConditionStatus::False, "NotStalled", message)
    }
}

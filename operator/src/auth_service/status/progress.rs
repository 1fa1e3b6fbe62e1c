//! Postpones status writes that only report progress. Pure.
//!
//! During a rollout the numbers of replicas and the messages change with every pod. Each write costs the API server as
//! much as an object, so that there is at most one such write in two seconds. A change of a condition's status or reason is
//! written immediately.

use std::time::Duration;

use latchkey_crds::{AuthServiceStatus, conditions as types};

/// The shortest time between a write and one that only reports progress.
const INTERVAL: Duration = Duration::from_secs(2);
/// The same during a migration: the attempt matters only if the migration takes long.
const MIGRATION_INTERVAL: Duration = Duration::from_secs(10);

/// How long the write can wait; `None` if it is due. `written`: the time since the last write.
pub(super) fn postpone(
    before: &AuthServiceStatus,
    after: &AuthServiceStatus,
    written: Option<Duration>,
) -> Option<Duration> {
    let migrates =
        after.conditions.iter().any(|found| found.type_ == types::READY && found.reason == "Migrating");
    let interval = if migrates { MIGRATION_INTERVAL } else { INTERVAL };
    let left = interval.checked_sub(written?).filter(|left| !left.is_zero())?;
    let progresses =
        after.conditions.iter().any(|found| found.type_ == types::PROGRESSING && found.status == "True");
    (progresses && significant(before) == significant(after)).then_some(left)
}

/// The status without what only reports progress.
fn significant(status: &AuthServiceStatus) -> AuthServiceStatus {
    let mut status = AuthServiceStatus { replicas: 0, ready_replicas: 0, ..status.clone() };
    for condition in &mut status.conditions {
        condition.message.clear();
    }
    status
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(reason: &str, message: &str, progressing: &str, ready_replicas: i32) -> AuthServiceStatus {
        let condition = |type_: &str, status: &str, reason: &str| {
            json!({
                "type": type_, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        serde_json::from_value(json!({
            "readyReplicas": ready_replicas,
            "conditions": [
                condition("Ready", "False", reason), condition("Progressing", progressing, "RollingOut"),
            ],
        }))
        .unwrap()
    }

    #[test]
    fn only_progress_waits_and_only_after_another_write() {
        let before = status("ReplicasNotReady", "0 of 2", "True", 0);
        let progress = status("ReplicasNotReady", "1 of 2", "True", 1);
        let soon = Some(Duration::from_millis(400));
        assert_eq!(postpone(&before, &progress, soon), Some(Duration::from_millis(1600)));
        assert_eq!(postpone(&before, &progress, Some(INTERVAL)), None);
        assert_eq!(postpone(&before, &progress, None), None);
        let attempt = [status("Migrating", "", "True", 0), status("Migrating", "attempt 1", "True", 0)];
        assert_eq!(postpone(&attempt[0], &attempt[1], Some(INTERVAL)), Some(Duration::from_secs(8)));
        let other_reason = status("PodsNotStarting", "1 of 2", "True", 1);
        assert_eq!(postpone(&before, &other_reason, soon), None);
        // A replica of a service that is not being changed is lost.
        let [settled, lost] = [status("A", "2 of 2", "False", 2), status("A", "1 of 2", "False", 1)];
        assert_eq!(postpone(&settled, &lost, soon), None);
    }
}

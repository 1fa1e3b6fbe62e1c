//! How conditions change. Pure.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use latchkey_crds::conditions;

use super::dependencies::POOLS_EXCEED_LIMIT;
use super::facts::{Stated, is_normal, is_warning};
use super::keys::ROTATING;
use crate::event_note::shortened;

/// The decided conditions with their transition times, which are kept if the status is unchanged. Conditions of other
/// writers are kept.
pub(super) fn merge(
    before: &[Condition],
    stated: &[Stated],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let ours = stated.iter().map(|stated| {
        let known =
            before.iter().find(|known| known.type_ == stated.type_ && known.status == stated.status.as_str());
        Condition {
            type_: stated.type_.to_owned(),
            status: stated.status.as_str().to_owned(),
            reason: stated.reason.to_owned(),
            message: shortened(stated.message.clone()),
            observed_generation: generation,
            last_transition_time: known
                .map_or_else(|| seconds(now), |known| known.last_transition_time.clone()),
        }
    });
    let others = before.iter().filter(|known| !conditions::ALL.contains(&known.type_.as_str())).cloned();
    ours.chain(others).collect()
}

/// The reasons of conditions with their normal status that are worth an event when they begin and end.
const NOTABLE: [&str; 2] = [ROTATING, POOLS_EXCEED_LIMIT];

/// How long a condition has been true; zero if it is not true, or if the clock was set back.
pub(super) fn true_for(conditions: &[Condition], type_: &str, now: Timestamp) -> Duration {
    let condition =
        conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True");
    let since = condition.map_or(now, |condition| condition.last_transition_time.0);
    now.duration_since(since).try_into().unwrap_or_default()
}

/// The API server stores seconds; a finer time would look like a change.
fn seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// The conditions whose status or reason changed, as far as this is worth an event. These are not: a condition that
/// becomes `Unknown`; one that becomes normal without a known failure; a disabled feature in the first reconcile; and
/// intermediate steps, except those of migrations and rotations.
pub(super) fn worth_an_event<'a>(before: &[Condition], after: &'a [Condition]) -> Vec<&'a Condition> {
    let worth = |condition: &&Condition| {
        let known = before.iter().find(|known| known.type_ == condition.type_);
        let same =
            |known: &Condition| (&known.status, &known.reason) == (&condition.status, &condition.reason);
        if condition.status == "Unknown" || known.is_some_and(same) {
            return false;
        }
        match condition.type_.as_str() {
            conditions::PROGRESSING | conditions::RECONCILING | conditions::STALLED => false,
            conditions::READY => {
                let on_the_way = |known: &Condition| known.status != "True" && condition.status != "True";
                is_warning(condition) || !known.is_some_and(on_the_way)
            }
            _ if is_normal(condition) => known.is_some_and(|known| {
                is_warning(known)
                    || known.type_ == conditions::SCHEMA_MIGRATED
                    || NOTABLE.contains(&known.reason.as_str())
                    || NOTABLE.contains(&condition.reason.as_str())
            }),
            _ => known.is_some() || is_warning(condition),
        }
    };
    after.iter().filter(worth).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::ToSpan;
    use proptest::prelude::*;

    use super::super::facts::ConditionStatus;
    use super::*;

    fn stated(status: ConditionStatus, reason: &'static str) -> Vec<Stated> {
        vec![Stated { type_: conditions::READY, status, reason, message: "m".to_owned() }]
    }

    fn any_truth() -> impl Strategy<Value = ConditionStatus> {
        prop_oneof![Just(ConditionStatus::True), Just(ConditionStatus::False), Just(ConditionStatus::Unknown)]
    }

    proptest! {
        #[test]
        fn the_transition_time_changes_exactly_when_the_status_does(first in any_truth(), second in any_truth()) {
            let start = Timestamp::UNIX_EPOCH;
            let before = merge(&[], &stated(first, "A"), Some(1), start);
            let after = merge(&before, &stated(second, "B"), Some(2), start + 5.seconds());
            let moved = after[0].last_transition_time != before[0].last_transition_time;
            prop_assert_eq!(moved, first != second);
            prop_assert_eq!(after[0].observed_generation, Some(2));
            let in_progress_for = true_for(&after, conditions::READY, start + 9.seconds()).as_secs();
            prop_assert_eq!(in_progress_for, if second != ConditionStatus::True { 0 } else if moved { 4 } else { 9 });
            prop_assert_eq!(true_for(&after, conditions::READY, start - 1.hour()), Duration::ZERO);
        }
    }

    #[test]
    fn an_equal_status_is_no_change() {
        let before = merge(&[], &stated(ConditionStatus::False, "A"), Some(1), Timestamp::UNIX_EPOCH);
        let after =
            merge(&before, &stated(ConditionStatus::False, "A"), Some(1), Timestamp::UNIX_EPOCH + 1.hour());
        assert_eq!(before, after);
        assert!(worth_an_event(&before, &after).is_empty());
    }

    #[test]
    fn events_report_problems_and_the_end_of_a_change() {
        let at = |status, reason| merge(&[], &stated(status, reason), Some(1), Timestamp::UNIX_EPOCH);
        let reported = |before: &[Condition], after: &[Condition]| !worth_an_event(before, after).is_empty();
        let [migrating, starting] =
            ["Migrating", "ReplicasNotReady"].map(|reason| at(ConditionStatus::False, reason));
        let [ready, missing] =
            [at(ConditionStatus::True, "Available"), at(ConditionStatus::False, "SecretMissing")];
        assert!(reported(&[], &migrating) && !reported(&migrating, &starting) && reported(&starting, &ready));
        assert!(
            reported(&ready, &starting) && reported(&starting, &missing) && !reported(&missing, &missing)
        );
    }

    #[test]
    fn events_report_the_changes_that_the_documentation_lists() {
        use ConditionStatus::{False, True, Unknown};
        let at = |type_: &'static str, status, reason| {
            let stated = [Stated { type_, status, reason, message: "m".to_owned() }];
            merge(&[], &stated, Some(1), Timestamp::UNIX_EPOCH)
        };
        for (type_, before, after, expected) in [
            // A problem starts, and ends.
            (conditions::MAIL_READY, None, (False, "Unreachable"), true),
            (conditions::MAIL_READY, Some((True, "Reachable")), (False, "Unreachable"), true),
            (conditions::MAIL_READY, Some((False, "Unreachable")), (True, "Reachable"), true),
            (conditions::DATABASE_SHARED, Some((True, "DatabaseShared")), (False, "Exclusive"), true),
            // Nothing was wrong before.
            (conditions::MAIL_READY, None, (True, "Reachable"), false),
            (conditions::MAIL_READY, Some((Unknown, "NoReplicaReports")), (True, "Reachable"), false),
            (conditions::MAIL_READY, Some((True, "Reachable")), (Unknown, "NoReplicaReports"), false),
            // An optional feature is disabled.
            (conditions::MAIL_READY, None, (False, "Disabled"), false),
            (conditions::MAIL_READY, Some((True, "Reachable")), (False, "Disabled"), true),
            (conditions::MAIL_READY, Some((False, "Disabled")), (True, "Reachable"), false),
            // Migrations and rotations.
            (conditions::SCHEMA_MIGRATED, Some((False, "Migrating")), (True, "Migrated"), true),
            (conditions::KEYS_READY, Some((True, "Loaded")), (True, ROTATING), true),
            (conditions::KEYS_READY, Some((True, ROTATING)), (True, "Loaded"), true),
            (conditions::KEYS_READY, Some((True, "Stored")), (True, "Loaded"), false),
            // The overall state.
            (conditions::READY, Some((True, "Available")), (False, "ReplicasNotReady"), true),
            (conditions::READY, Some((False, "Migrating")), (False, "ReplicasNotReady"), false),
            (conditions::READY, Some((False, "ReplicasNotReady")), (False, "RolloutStuck"), true),
            (conditions::READY, Some((False, "ReplicasNotReady")), (True, "Available"), true),
            (conditions::PROGRESSING, Some((False, "Settled")), (True, "RollingOut"), false),
            (conditions::RECONCILING, Some((False, "Settled")), (True, "RollingOut"), false),
            (conditions::STALLED, Some((False, "NotStalled")), (True, "SecretMissing"), false),
        ] {
            let known = before.map_or_else(Vec::new, |(status, reason)| at(type_, status, reason));
            let next = at(type_, after.0, after.1);
            let reported = !worth_an_event(&known, &next).is_empty();
            assert_eq!(reported, expected, "{type_}: {before:?} to {after:?}");
        }
    }

    #[test]
    fn conditions_of_other_writers_are_kept() {
        let theirs = Condition {
            type_: "example.com/Theirs".to_owned(),
            status: "True".to_owned(),
            reason: "R".to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        let after = merge(
            std::slice::from_ref(&theirs),
            &stated(ConditionStatus::True, "A"),
            None,
            Timestamp::UNIX_EPOCH,
        );
        assert!(after.contains(&theirs));
    }
}

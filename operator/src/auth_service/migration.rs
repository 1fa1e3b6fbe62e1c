//! The state of the schema migration, decided from the Jobs. Pure.

use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::names::INPUTS_ANNOTATION;

/// How long the replicas may take to observe a completed migration.
const SEEN_AFTER: Duration = Duration::from_secs(10);
/// How long a failed Job is kept before it is retried with the same inputs.
const TRY_AGAIN_AFTER: Duration = Duration::from_mins(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Migration {
    /// The Job for this image and database succeeded.
    Done,
    /// No Job exists yet.
    Due,
    Running,
    /// It failed, and its inputs have not changed.
    Failed(String),
    /// It failed or did not start, and its inputs have changed or the retry is due; or it succeeded, and its database
    /// was lost since. It is deleted and created again.
    Stale,
}

/// Decides the state of the migration `name`. `missed`: a replica reports a missing schema; a completed Job only
/// proves the migration of a database that may have been replaced since.
pub(crate) fn decide_migration(
    jobs: &[Job],
    name: &str,
    inputs: &str,
    missed: bool,
    now: Timestamp,
) -> Migration {
    let Some(job) = jobs.iter().find(|job| job.name_any() == name) else { return Migration::Due };
    if job.metadata.deletion_timestamp.is_some() {
        return Migration::Running;
    }
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let holds = |type_: &str| {
        conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")
    };
    let passed_since = |condition: &JobCondition, pause: Duration| {
        let since = condition.last_transition_time.as_ref().map_or(now, |time| time.0);
        now.duration_since(since) >= SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX)
    };
    if let Some(complete) = holds("Complete") {
        let lost = missed && passed_since(complete, SEEN_AFTER);
        return if lost { Migration::Stale } else { Migration::Done };
    }
    let changed = job.annotations().get(INPUTS_ANNOTATION).is_none_or(|before| before != inputs);
    let Some(failed) = holds("Failed") else {
        // A running Job is not interrupted; one that could not start is replaced.
        let at_work = job.status.as_ref().and_then(|status| status.ready).is_some_and(|ready| ready > 0);
        return if changed && !at_work { Migration::Stale } else { Migration::Running };
    };
    if changed {
        return Migration::Stale;
    }
    if passed_since(failed, TRY_AGAIN_AFTER) {
        return Migration::Stale;
    }
    Migration::Failed(failed.message.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::batch::v1::JobStatus;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
    use k8s_openapi::jiff::ToSpan;

    use super::*;

    fn job(condition: Option<(&str, Timestamp)>) -> Job {
        Job {
            metadata: ObjectMeta {
                name: Some("a-migrate-1".to_owned()),
                annotations: Some(BTreeMap::from([(INPUTS_ANNOTATION.to_owned(), "same".to_owned())])),
                ..ObjectMeta::default()
            },
            status: Some(JobStatus {
                conditions: condition.map(|(type_, at)| {
                    vec![JobCondition {
                        type_: type_.to_owned(),
                        status: "True".to_owned(),
                        last_transition_time: Some(Time(at)),
                        message: Some("why".to_owned()),
                        ..JobCondition::default()
                    }]
                }),
                ..JobStatus::default()
            }),
            ..Job::default()
        }
    }

    fn decide(job: Option<Job>, inputs: &str, now: Timestamp) -> Migration {
        decide_migration(&job.into_iter().collect::<Vec<_>>(), "a-migrate-1", inputs, false, now)
    }

    #[test]
    fn a_job_is_created_once_and_then_observed() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(decide(None, "same", now), Migration::Due);
        assert_eq!(decide(Some(job(None)), "same", now), Migration::Running);
        assert_eq!(decide(Some(job(Some(("Complete", now)))), "same", now), Migration::Done);
        assert_eq!(
            decide(Some(job(Some(("Failed", now)))), "same", now),
            Migration::Failed("why".to_owned())
        );
    }

    #[test]
    fn a_changed_password_replaces_only_a_failed_job() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(decide(Some(job(Some(("Complete", now)))), "other", now), Migration::Done);
        assert_eq!(decide(Some(job(Some(("Failed", now)))), "other", now), Migration::Stale);
        assert_eq!(decide(Some(job(None)), "other", now), Migration::Stale);
        let mut at_work = job(None);
        at_work.status = Some(JobStatus { ready: Some(1), ..JobStatus::default() });
        assert_eq!(decide(Some(at_work), "other", now), Migration::Running);
    }

    #[test]
    fn a_lost_database_is_migrated_again_after_the_replicas_could_observe_the_last_migration() {
        let done = Timestamp::UNIX_EPOCH;
        let jobs = [job(Some(("Complete", done)))];
        let decide = |missed, now| decide_migration(&jobs, "a-migrate-1", "same", missed, now);
        assert_eq!(decide(false, done + 1.hour()), Migration::Done);
        assert_eq!(decide(true, done + 9.seconds()), Migration::Done);
        assert_eq!(decide(true, done + 10.seconds()), Migration::Stale);
    }

    #[test]
    fn a_failed_job_is_retried_after_a_delay() {
        let failed = Timestamp::UNIX_EPOCH;
        let job = job(Some(("Failed", failed)));
        assert_eq!(
            decide(Some(job.clone()), "same", failed + 299.seconds()),
            Migration::Failed("why".to_owned())
        );
        assert_eq!(decide(Some(job), "same", failed + 300.seconds()), Migration::Stale);
    }
}

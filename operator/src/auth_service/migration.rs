//! The state of the schema migration, decided from the Jobs, their pods and the record on the Deployment. Pure.

use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::names::INPUTS_ANNOTATION;

/// The container of the Job's pod that migrates.
pub(crate) const CONTAINER: &str = "migrate";
/// How long the replicas may take to observe a completed migration.
const SEEN_AFTER: Duration = Duration::from_secs(10);
/// How long after the container of the migration the other containers of its pod may end.
const LEFT_AFTER: Duration = Duration::from_mins(1);
/// How long a failed Job is kept before it is retried with the same inputs.
const TRY_AGAIN_AFTER: Duration = Duration::from_mins(5);

/// What is known about the migrations of one AuthService.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence<'a> {
    pub jobs: &'a [Job],
    /// The pods of the Jobs.
    pub pods: &'a [Pod],
    /// The name of the last migration that the Deployment was rolled out after.
    pub recorded: Option<&'a str>,
    /// Whether a replica reports a missing schema: a completed migration only proves the schema of a database that may
    /// have been replaced since.
    pub missed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Migration {
    /// The migration for this image and database succeeded, and its Job, if it still exists, is kept.
    Done,
    /// The same, but another container of its pod still runs, such as an injected proxy. The Job is deleted.
    Left,
    /// No Job exists yet.
    Due,
    Running,
    /// It failed, and its inputs have not changed.
    Failed(String),
    /// It failed or did not start, and its inputs have changed or the retry is due; or it succeeded, and its database
    /// was lost since. It is deleted and created again.
    Stale,
}

/// Decides the state of the migration `name`.
pub(crate) fn decide_migration(
    evidence: Evidence<'_>,
    name: &str,
    inputs: &str,
    now: Timestamp,
) -> Migration {
    let Evidence { jobs, pods, recorded, missed } = evidence;
    let recorded = recorded == Some(name) && !missed;
    let Some(job) = jobs.iter().find(|job| job.name_any() == name) else {
        return if recorded { Migration::Done } else { Migration::Due };
    };
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let holds = |type_: &str| {
        conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")
    };
    let passed_since = |since: Timestamp, pause: Duration| {
        now.duration_since(since) >= SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX)
    };
    if recorded {
        let ended = holds("Complete").is_some() || job.metadata.deletion_timestamp.is_some();
        // A container that ends with the others takes a moment, and so does the controller of the Job.
        let left = finished_in_pod(job, pods, now).is_some_and(|at| passed_since(at, LEFT_AFTER));
        return if left && !ended { Migration::Left } else { Migration::Done };
    }
    if job.metadata.deletion_timestamp.is_some() {
        return Migration::Running;
    }
    let time = |condition: &JobCondition| condition.last_transition_time.as_ref().map_or(now, |time| time.0);
    let completed = holds("Complete").map(time).or_else(|| finished_in_pod(job, pods, now));
    if let Some(completed) = completed {
        return if missed && passed_since(completed, SEEN_AFTER) {
            Migration::Stale
        } else {
            Migration::Done
        };
    }
    let changed = job.annotations().get(INPUTS_ANNOTATION).is_none_or(|before| before != inputs);
    let Some(failed) = holds("Failed") else {
        // A running Job is not interrupted; one that could not start is replaced.
        let at_work = job.status.as_ref().and_then(|status| status.ready).is_some_and(|ready| ready > 0);
        return if changed && !at_work { Migration::Stale } else { Migration::Running };
    };
    if changed || passed_since(time(failed), TRY_AGAIN_AFTER) {
        return Migration::Stale;
    }
    Migration::Failed(failed.message.clone().unwrap_or_default())
}

/// The time at which the container of the migration exited with 0, in a pod of the Job whose other containers may still
/// run: a proxy that a service mesh injected does not exit, and the Job never completes.
fn finished_in_pod(job: &Job, pods: &[Pod], now: Timestamp) -> Option<Timestamp> {
    let uid = job.metadata.uid.as_deref()?;
    let of_job = |pod: &&Pod| pod.owner_references().iter().any(|owner| owner.uid == uid);
    let containers =
        pods.iter().filter(of_job).filter_map(|pod| pod.status.as_ref()?.container_statuses.as_ref());
    let mut exits =
        containers.flatten().filter(|container| container.name == CONTAINER).filter_map(|container| {
            container.state.as_ref()?.terminated.as_ref().filter(|exit| exit.exit_code == 0)
        });
    exits.next().map(|exit| exit.finished_at.as_ref().map_or(now, |time| time.0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::batch::v1::JobStatus;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
    use k8s_openapi::jiff::ToSpan;

    use serde_json::json;

    use super::*;

    fn job(condition: Option<(&str, Timestamp)>) -> Job {
        Job {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                uid: Some("job".to_owned()),
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

    const NAME: &str = "a-migrate-1";

    fn evidence(jobs: &[Job]) -> Evidence<'_> {
        Evidence { jobs, pods: &[], recorded: None, missed: false }
    }

    fn decide(job: Option<Job>, inputs: &str, now: Timestamp) -> Migration {
        decide_migration(evidence(&job.into_iter().collect::<Vec<_>>()), NAME, inputs, now)
    }

    fn pod(owner: &str, container: &str, exit_code: i32) -> Pod {
        let exited = json!({"terminated": {"exitCode": exit_code, "finishedAt": "1970-01-01T00:00:00Z"}});
        let status = |name: &str, state: &serde_json::Value| json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let statuses = [status("proxy", &json!({"running": {}})), status(container, &exited)];
        serde_json::from_value(json!({
            "metadata": {"name": "p", "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": NAME, "uid": owner}]},
            "status": {"containerStatuses": statuses},
        }))
        .unwrap()
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
        let decide =
            |missed, now| decide_migration(Evidence { missed, ..evidence(&jobs) }, NAME, "same", now);
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
    #[test]
    fn a_recorded_migration_needs_no_job() {
        let now = Timestamp::UNIX_EPOCH;
        let recorded = |jobs: &[Job], recorded, missed| {
            let evidence = Evidence { recorded: Some(recorded), missed, ..evidence(jobs) };
            decide_migration(evidence, NAME, "same", now)
        };
        assert_eq!(recorded(&[], NAME, false), Migration::Done);
        assert_eq!(recorded(&[], NAME, true), Migration::Due);
        assert_eq!(recorded(&[], "a-migrate-2", false), Migration::Due);
        assert_eq!(recorded(&[job(None)], NAME, false), Migration::Done);
        assert_eq!(recorded(&[job(Some(("Complete", now)))], NAME, false), Migration::Done);
        assert_eq!(
            recorded(&[job(Some(("Failed", now)))], "a-migrate-2", false),
            Migration::Failed("why".to_owned())
        );
    }

    #[test]
    fn a_neighbour_that_does_not_exit_does_not_hold_the_migration_up() {
        let now = Timestamp::UNIX_EPOCH;
        let jobs = [job(None)];
        let decide = |pods: &[Pod], recorded, now| {
            decide_migration(Evidence { pods, recorded, ..evidence(&jobs) }, NAME, "same", now)
        };
        assert_eq!(decide(&[pod("job", CONTAINER, 0)], None, now), Migration::Done);
        let exited = [pod("job", CONTAINER, 0)];
        assert_eq!(decide(&exited, Some(NAME), now + 59.seconds()), Migration::Done);
        assert_eq!(decide(&exited, Some(NAME), now + 60.seconds()), Migration::Left);
        assert_eq!(decide(&[], Some(NAME), now + 60.seconds()), Migration::Done);
        for pod in [pod("job", CONTAINER, 1), pod("job", "other", 0), pod("another-job", CONTAINER, 0)] {
            assert_eq!(decide(&[pod], None, now), Migration::Running);
        }
        // The deadline of the Job ends the neighbour.
        let jobs = [job(Some(("Failed", now)))];
        let after = Evidence { pods: &[pod("job", CONTAINER, 0)], ..evidence(&jobs) };
        assert_eq!(decide_migration(after, NAME, "same", now), Migration::Done);
        let lost = Evidence { missed: true, ..after };
        assert_eq!(decide_migration(lost, NAME, "same", now + 10.seconds()), Migration::Stale);
    }
}

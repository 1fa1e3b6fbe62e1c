//! The attempt at a migration. Pure.

use k8s_openapi::jiff::SignedDuration;
use kube::ResourceExt;

use super::facts::Facts;

/// The current attempt of the migration Job.
pub(super) struct Attempt {
    pub job: String,
    /// Such as `attempt 2 of 6, until 2026-01-01T00:15:00Z`.
    pub text: String,
}

/// The attempt of the Job for the current image and database, if the Job has started.
pub(super) fn find_attempt(facts: &Facts<'_>) -> Option<Attempt> {
    let server = facts.service.server.as_ref().ok()?;
    let name = facts.service.names.migration(&server.migration);
    let job = facts.external_state.jobs.iter().find(|job| job.name_any() == name)?;
    let (spec, status) = (job.spec.as_ref()?, job.status.as_ref()?);
    let started = status.start_time.as_ref()?.0;
    let all = spec.backoff_limit?.saturating_add(1);
    let attempt = status.failed.unwrap_or(0).saturating_add(1).min(all);
    let deadline = started.checked_add(SignedDuration::from_secs(spec.active_deadline_seconds?)).ok()?;
    let deadline = deadline.strftime("%Y-%m-%dT%H:%M:%SZ");
    Some(Attempt { job: name, text: format!("attempt {attempt} of {all}, until {deadline}") })
}

#[cfg(test)]
mod tests {
    use latchkey_crds::conditions::{READY, SCHEMA_MIGRATED};
    use serde_json::{Value, json};

    use super::super::facts::ConditionStatus;
    use super::super::tests::{World, waiting_pod};
    use crate::auth_service::render::Schema;

    fn migrating(status: &Value) -> World {
        let mut world = World::healthy();
        world.applied.schema = Schema::Migrating;
        let name = world.service.names.migration(&world.service.server.as_ref().unwrap().migration);
        let spec = json!({"backoffLimit": 5, "activeDeadlineSeconds": 900, "template": {}});
        let job = json!({"metadata": {"name": name}, "spec": spec, "status": status});
        world.external_state.jobs = vec![serde_json::from_value(job).unwrap()];
        world
    }

    #[test]
    fn the_message_names_the_attempt_and_its_deadline() {
        let start = "1970-01-01T00:00:00Z";
        let world = migrating(&json!({"startTime": start, "active": 1}));
        for type_ in [READY, SCHEMA_MIGRATED] {
            let message = world.expect_condition(type_, ConditionStatus::False, "Migrating");
            assert!(message.contains("(attempt 1 of 6, until 1970-01-01T00:15:00Z)"), "{message}");
            assert!(message.contains("kubectl logs job/demo-migrate-"), "{message}");
        }
        let mut world = migrating(&json!({"startTime": start, "active": 1, "failed": 2}));
        world.external_state.migration_pods = vec![waiting_pod("m", "ErrImagePull")];
        let message = world.expect_condition(READY, ConditionStatus::False, "MigrationWaiting");
        assert!(message.contains("(attempt 3 of 6, until 1970-01-01T00:15:00Z)"), "{message}");
        let world = migrating(&json!({"startTime": start, "failed": 6}));
        let message = world.expect_condition(READY, ConditionStatus::False, "Migrating");
        assert!(message.contains("attempt 6 of 6"), "{message}");
        let message = migrating(&json!({})).expect_condition(READY, ConditionStatus::False, "Migrating");
        assert!(!message.contains("attempt"), "{message}");
    }
}

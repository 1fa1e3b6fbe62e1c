//! The condition `WorkloadIdentityReady`.

use latchkey_crds::conditions::WORKLOAD_IDENTITY_READY;
use serde_json::json;

use super::tests::World;
use crate::auth_service::fixtures::{auth_service, embedded, validated};
use crate::auth_service::server_reports::Dependency;

/// A service whose replica reports this about reviews; nothing if it is `None`.
fn reported(dependency: Option<(bool, Option<&str>)>) -> World {
    let service = validated(&auth_service(json!({"workloadIdentity": {"enabled": true}})), embedded());
    let mut world = World { service, ..World::healthy() };
    let dependencies = &mut world.report().dependencies;
    dependencies.remove("token_reviews");
    dependencies.extend(dependency.map(|(ready, reason)| {
        let reason = reason.map(str::to_owned);
        ("token_reviews".to_owned(), Dependency { ready, message: "why".to_owned(), reason })
    }));
    world
}

/// Facts that lead to every status and reason of the condition.
pub(super) fn worlds() -> Vec<World> {
    let states = [None, Some((true, None)), Some((false, None)), Some((false, Some("forbidden")))];
    states.map(reported).into()
}

#[test]
fn a_missing_permission_is_reported_with_the_command_that_grants_it() {
    let (conditions, _) = reported(Some((false, Some("forbidden")))).decide();
    let stated = &conditions[WORKLOAD_IDENTITY_READY];
    assert_eq!((stated.status.as_str(), stated.reason), ("False", "TokenReviewsForbidden"));
    for part in ["kubectl create clusterrolebinding", "--serviceaccount=apps:demo", "--resource=tokenreviews"]
    {
        assert!(stated.message.contains(part), "{}", stated.message);
    }
    // People can log in.
    assert_eq!(conditions["Ready"].status.as_str(), "True");
}

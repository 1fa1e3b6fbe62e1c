//! The keys in the status, and the condition `KeysReady` before any replica reports.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use latchkey_crds::AuthServiceStatus;
use latchkey_crds::auth_service::{KeyPhase, SigningKeyStatus};
use latchkey_crds::conditions::KEYS_READY;
use serde_json::json;

use super::facts::ConditionStatus;
use super::keys::signing_keys;
use super::tests::World;
use crate::auth_service::fixtures::{auth_service, embedded, validated};
use crate::auth_service::problem::Problem;
use crate::cluster::kinds::Kind;
use crate::signing_keys::KeyMaterial;

/// The status before, with a key that the present set does not contain.
fn before() -> AuthServiceStatus {
    let since = Time(Timestamp::UNIX_EPOCH);
    let earlier =
        SigningKeyStatus { kid: "earlier".to_owned(), phase: KeyPhase::Active, since, waits_for: None };
    let handled = BTreeMap::from([("rotate-keys".to_owned(), "1".to_owned())]);
    AuthServiceStatus { signing_keys: vec![earlier], key_requests: handled, ..AuthServiceStatus::default() }
}

/// The ids of the keys in the next status.
fn kids(world: &World, before: &AuthServiceStatus) -> Vec<String> {
    let (keys, handled) = signing_keys(before, &world.service, &world.applied, Timestamp::UNIX_EPOCH);
    // The fixture's key set has handled no request, so those of the status remain.
    assert_eq!(handled, before.key_requests);
    keys.into_iter().map(|key| key.kid).collect()
}

fn paused() -> World {
    World { service: validated(&auth_service(json!({"paused": true})), embedded()), ..World::healthy() }
}

fn generated(world: &mut World) {
    let keys = world.service.keys.key_set().unwrap().clone();
    world.service.keys = KeyMaterial::Generated(keys);
}

#[test]
fn the_status_lists_keys_only_if_they_are_stored() {
    let stored = |world: &World| assert_eq!(kids(world, &before()), ["k1"]);
    let unstored = |world: &World| assert_eq!(kids(world, &before()), ["earlier"]);
    stored(&World::healthy());

    let mut world = World::healthy();
    world.service.keys = KeyMaterial::Lost("the Secret is gone".to_owned());
    unstored(&world);

    let mut world = World::healthy();
    world.applied.name_conflicts = vec![(Kind::ConfigMap, "demo-settings".to_owned())];
    stored(&world);
    world.applied.name_conflicts.push((Kind::Secret, world.service.names.jwt_keys()));
    unstored(&world);

    // A pause only affects a set that would have to be written.
    let mut world = paused();
    stored(&world);
    world.service.rotation.changed = true;
    unstored(&world);
    let mut world = paused();
    generated(&mut world);
    unstored(&world);
    let mut world = World::healthy();
    generated(&mut world);
    world.service.rotation.changed = true;
    stored(&world);
}

#[test]
fn a_refused_object_hides_keys_that_may_not_be_written() {
    let mut world = World::healthy();
    world.applied.refused = vec![Problem::new("ApplyRefused", "why")];
    // The first set may be what was refused.
    assert!(kids(&world, &AuthServiceStatus::default()).is_empty());
    assert_eq!(kids(&world, &before()), ["k1"]);
    world.service.rotation.changed = true;
    assert_eq!(kids(&world, &before()), ["earlier"]);
}

#[test]
fn keys_that_cannot_be_written_are_not_ready() {
    let mut world = paused();
    world.expect_condition(KEYS_READY, ConditionStatus::True, "Loaded");
    generated(&mut world);
    let message = world.expect_condition(KEYS_READY, ConditionStatus::False, "Blocked");
    assert!(message.contains("paused"), "{message}");
    let mut world = World::healthy();
    generated(&mut world);
    world.expect_condition(KEYS_READY, ConditionStatus::True, "Loaded");
    world.applied.name_conflicts = vec![(Kind::ConfigMap, "demo-settings".to_owned())];
    world.expect_condition(KEYS_READY, ConditionStatus::True, "Loaded");
    world.applied.name_conflicts.push((Kind::Secret, "demo-jwt-keys".to_owned()));
    let message = world.expect_condition(KEYS_READY, ConditionStatus::False, "Blocked");
    assert!(message.contains("the Secret demo-jwt-keys exists"), "{message}");
}

//! The key set on examples.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use latchkey_keyset::{Algorithm, Phase, generate};

use super::*;

const NOW: i64 = 1_800_000_000;

fn plan_of(algorithm: Algorithm) -> Plan {
    Plan { algorithm, interval: 720 * 3600, token_ttl: 3600, jwks_cache_time: 300 }
}

impl KeySet {
    fn step(
        self,
        now: i64,
        plan: &Plan,
        requests: &Requests,
        replicas: &[Replica],
    ) -> Result<(Self, RotationStatus, Option<Duration>), KeySetError> {
        self.next(now, plan, requests, replicas, generate)
    }
}

fn first(algorithm: Algorithm) -> KeySet {
    KeySet::first(&plan_of(algorithm), &Requests::default(), Vec::new(), NOW, generate).unwrap()
}

fn remembered(kid: &str) -> Vec<SigningKeyStatus> {
    let since = Time(Timestamp::UNIX_EPOCH);
    vec![SigningKeyStatus { kid: kid.to_owned(), phase: KeyPhase::Active, since, waits_for: None }]
}

fn requested(request: Request, value: &str) -> Requests {
    let requested = BTreeMap::from([(request.as_str().to_owned(), value.to_owned())]);
    Requests { requested, handled: BTreeMap::new() }
}

fn decide(
    stored: Option<&[u8]>,
    keys: &[SigningKeyStatus],
    in_use: bool,
    requests: &Requests,
) -> KeyMaterial {
    let fresh = |superseded| KeySet::first(&plan_of(Algorithm::EdDsa), requests, superseded, NOW, generate);
    decide_key_material(stored, Remembered { keys, in_use }, requests, fresh).unwrap()
}

fn kid(set: &KeySet) -> &str {
    &set.ledger().active().unwrap().kid
}

/// A replica that has loaded this very set.
fn loaded(set: &KeySet, time: i64) -> Replica {
    let keys = set.in_force().map(|(kid, phase)| (kid.to_owned(), Some(phase))).collect();
    let report = ReplicaReport {
        keys,
        time: Some(time),
        jwks_cache_time: Some(300),
        token_ttl: Some(3600),
        may_sign_with_others: false,
    };
    Replica { pod: "demo-1".to_owned(), report: Some(report) }
}

#[test]
fn every_algorithm_generates_a_set_with_one_active_key_that_stays_unchanged() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let set = first(algorithm);
        assert_eq!(KeySet::parse(set.json()).unwrap(), set, "{algorithm:?}");
        assert_eq!(set.in_force().map(|(_, phase)| phase).collect::<Vec<_>>(), [Phase::Active]);
        let (after, status, due) = set
            .clone()
            .step(NOW + 5, &plan_of(algorithm), &Requests::default(), &[loaded(&set, NOW)])
            .unwrap();
        assert_eq!(after, set);
        assert_eq!(status.progress, Progress::Steady);
        assert_eq!(status.waits_for[kid(&set)], "its age: a successor is created at 2027-02-14T08:00:00Z");
        assert_eq!(due, Some(Duration::from_hours(720)));
    }
}

#[test]
fn keys_are_generated_only_if_none_ever_existed() {
    let nothing = Requests::default();
    assert!(matches!(decide(None, &[], false, &nothing), KeyMaterial::Generated(_)));
    assert!(matches!(decide(None, &remembered("a"), false, &nothing), KeyMaterial::Lost(_)));
    // The status was deleted, but the Deployment proves that keys existed.
    assert!(matches!(decide(None, &[], true, &nothing), KeyMaterial::Lost(_)));
}

#[test]
fn a_damaged_set_is_lost_and_never_overwritten_even_without_a_recorded_key() {
    for damaged in [b"".as_slice(), b"{}", b"{\"keys\":[]}", b"{\"keys\":[{\"kty\":\"EC\"}]}", b"\xff"] {
        assert!(matches!(decide(Some(damaged), &[], false, &Requests::default()), KeyMaterial::Lost(_)));
    }
}

#[test]
fn the_key_set_of_another_service_is_not_adopted() {
    let set = first(Algorithm::EdDsa);
    let nothing = Requests::default();
    assert!(matches!(decide(Some(set.json()), &remembered("a"), true, &nothing), KeyMaterial::Lost(_)));
    let ours = remembered(kid(&set));
    assert_eq!(decide(Some(set.json()), &ours, true, &nothing), KeyMaterial::Stored(set));
}

#[test]
fn lost_keys_are_replaced_by_a_new_value_only_and_only_once() {
    let first_time = requested(Request::ReplaceLost, "1");
    let KeyMaterial::Generated(set) = decide(None, &remembered("a"), true, &first_time) else {
        panic!("generated")
    };
    // The status was not written before a crash: it still contains the lost key.
    assert_eq!(
        decide(Some(set.json()), &remembered("a"), true, &first_time),
        KeyMaterial::Stored(set.clone())
    );
    assert!(matches!(decide(Some(b"{}"), &remembered("a"), true, &first_time), KeyMaterial::Stored(_)));
    let remembers = Requests { handled: set.ledger().notes.handled.clone(), ..first_time };
    assert!(matches!(decide(None, &remembered(kid(&set)), true, &remembers), KeyMaterial::Lost(_)));
}

#[test]
fn a_revocation_leaves_one_new_key_which_counts_as_a_descendant_after_a_crash() {
    let set = first(Algorithm::Es256);
    let requests = requested(Request::Revoke, "stolen");
    let plan = plan_of(Algorithm::Es256);
    let (after, _, _) = set.clone().step(NOW + 5, &plan, &requests, &[]).unwrap();
    assert_eq!(after.in_force().map(|(_, phase)| phase).collect::<Vec<_>>(), [Phase::Active]);
    assert_ne!(kid(&after), kid(&set));
    assert_eq!(after.clone().step(NOW + 9, &plan, &requests, &[]).unwrap().0, after, "it acts once");
    let before = remembered(kid(&set));
    assert_eq!(decide(Some(after.json()), &before, true, &requests), KeyMaterial::Stored(after.clone()));
    // A backup from before the revocation restores nothing.
    let now = remembered(kid(&after));
    assert!(matches!(decide(Some(set.json()), &now, true, &requests), KeyMaterial::Lost(_)));
}

#[test]
fn a_rotation_waits_for_replicas_and_verifiers_and_reports_it() {
    let (plan, requests) = (plan_of(Algorithm::Es256), requested(Request::Rotate, "1"));
    let set = first(Algorithm::Es256);
    let (both, status, due) =
        set.clone().step(NOW + 10, &plan, &requests, &[loaded(&set, NOW + 10)]).unwrap();
    let new = both.ledger().published().unwrap().kid.clone();
    assert_eq!(status.waits_for[&new], "pod demo-1 to load it");
    assert_eq!(status.waits_for[kid(&set)], format!("key {new} to take its place"));
    assert_eq!(due, Some(Duration::from_secs(1)));
    let (_, status, _) = both.clone().step(NOW + 200, &plan, &requests, &[loaded(&set, NOW + 200)]).unwrap();
    assert!(matches!(status.progress, Progress::ReplicaLags(_)), "{status:?}");

    let (noted, status, due) =
        both.clone().step(NOW + 20, &plan, &requests, &[loaded(&both, NOW + 20)]).unwrap();
    assert!(matches!(status.progress, Progress::Rotating(_)), "{status:?}");
    assert!(due.is_some_and(|due| due <= Duration::from_secs(304)), "{due:?}");
    let (same, ..) = noted.clone().step(NOW + 320, &plan, &requests, &[loaded(&both, NOW + 320)]).unwrap();
    assert_eq!(same, noted, "the verifiers' time is not over");
    let (after, status, _) = noted.step(NOW + 324, &plan, &requests, &[loaded(&both, NOW + 324)]).unwrap();
    assert_eq!(kid(&after), new);
    assert_eq!(status.waits_for[kid(&set)], "pod demo-1 to stop signing with it");

    let (after, status, _) =
        after.clone().step(NOW + 330, &plan, &requests, &[loaded(&after, NOW + 330)]).unwrap();
    assert_eq!(
        status.waits_for[kid(&set)],
        "the last token that it signed to expire, at 2027-01-15T09:15:31Z"
    );
    let later = NOW + 331 + 3600 + 600;
    let (kept, ..) = after.clone().step(later - 1, &plan, &requests, &[loaded(&after, later - 1)]).unwrap();
    assert_eq!(kept.ledger().entries.len(), 2);
    let (gone, status, _) = after.clone().step(later, &plan, &requests, &[loaded(&after, later)]).unwrap();
    assert_eq!((gone.ledger().entries.len(), status.progress), (1, Progress::Steady));
    // No replica responds, or only the operator's clock is ahead: the key stays.
    for replicas in [vec![], vec![loaded(&after, NOW + 400)]] {
        let (kept, ..) = after.clone().step(later, &plan, &requests, &replicas).unwrap();
        assert_eq!(kept.ledger().entries.len(), 2);
    }
}

#[test]
fn a_changed_algorithm_starts_a_rotation_that_can_be_reverted() {
    let set = first(Algorithm::Es256);
    let nothing = Requests::default();
    let (both, ..) = set.clone().step(NOW, &plan_of(Algorithm::EdDsa), &nothing, &[]).unwrap();
    assert_eq!(both.ledger().published().unwrap().algorithm, Algorithm::EdDsa);
    let (back, ..) = both.step(NOW, &plan_of(Algorithm::Es256), &nothing, &[]).unwrap();
    assert_eq!((kid(&back), back.ledger().entries.len()), (kid(&set), 1));
}

#[test]
fn debug_output_and_messages_hold_no_private_key() {
    let set = first(Algorithm::EdDsa);
    let document: serde_json::Value = serde_json::from_slice(set.json()).unwrap();
    let private = document["keys"][0]["d"].as_str().unwrap();
    assert!(!format!("{set:?}").contains(private));
}

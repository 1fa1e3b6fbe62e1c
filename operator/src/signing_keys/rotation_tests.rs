//! The limits of each decision, exactly: the size of the set, ages, waiting times and notes.

use std::collections::BTreeMap;
use std::convert::Infallible;

use latchkey_keyset::{Algorithm, KeyNotes, Phase, SetNotes};

use super::deadlines::{CACHE_SLACK, MOST_KEYS};
use super::ledger::{Entry, Ledger};
use super::observed::{Plan, Replica, ReplicaReport, Request, Requests};
use super::rotation::{Decision, decide_next};
use super::rotation_status::Progress;

const NOW: i64 = 1_800_000_000;
const PLAN: Plan =
    Plan { algorithm: Algorithm::EdDsa, interval: 1000, token_ttl: 3600, jwks_cache_time: 300 };

fn key(kid: &str, phase: Phase, notes: KeyNotes) -> Entry {
    Entry { kid: kid.to_owned(), algorithm: Algorithm::EdDsa, phase, notes }
}

fn since(since: i64) -> KeyNotes {
    KeyNotes { since: Some(since), ..KeyNotes::default() }
}

fn ledger(entries: Vec<Entry>) -> Ledger {
    let notes = SetNotes { max_age: Some(300), longest_max_age: Some(300), ..SetNotes::default() };
    Ledger { entries, notes }
}

/// A replica that has loaded these keys.
fn replica(keys: &[(&str, Phase)]) -> Replica {
    let keys = keys.iter().map(|(kid, phase)| ((*kid).to_owned(), Some(*phase))).collect();
    let report = ReplicaReport {
        keys,
        time: Some(NOW),
        jwks_cache_time: Some(300),
        token_ttl: Some(3600),
        may_sign_with_others: false,
    };
    Replica { pod: "demo-1".to_owned(), report: Some(report) }
}

fn silent() -> Replica {
    Replica { pod: "demo-2".to_owned(), report: None }
}

fn request(request: Request) -> Requests {
    let requested = BTreeMap::from([(request.as_str().to_owned(), "1".to_owned())]);
    Requests { requested, handled: BTreeMap::new() }
}

fn decide(ledger: &Ledger, plan: &Plan, requests: &Requests, replicas: &[Replica]) -> Decision {
    let mut fresh = |_| Ok::<_, Infallible>("new".to_owned());
    let Ok(decision) = decide_next(ledger, NOW, plan, requests, replicas, &mut fresh);
    decision
}

fn find<'a>(decision: &'a Decision, kid: &str) -> &'a Entry {
    decision.ledger.entries.iter().find(|entry| entry.kid == kid).unwrap()
}

#[test]
fn a_full_set_takes_no_further_key_and_says_so() {
    let of = |size: usize| {
        let retiring = (1..size).map(|number| key(&number.to_string(), Phase::Retiring, since(NOW - 10)));
        let entries = retiring.chain([key("active", Phase::Active, since(NOW - 5000))]).collect();
        decide(&ledger(entries), &PLAN, &request(Request::Rotate), &[])
    };
    assert_eq!(of(MOST_KEYS - 1).ledger.entries.len(), MOST_KEYS);
    let full = of(MOST_KEYS);
    assert_eq!(full.ledger.entries.len(), MOST_KEYS);
    assert!(
        full.status.waits_for["active"].contains("the set is full"),
        "{}",
        full.status.waits_for["active"]
    );
}

#[test]
fn a_key_is_replaced_at_the_age_of_the_interval_and_not_before() {
    for (age, is_replaced) in [(PLAN.interval - 1, false), (PLAN.interval, true)] {
        let set = ledger(vec![key("active", Phase::Active, since(NOW - age))]);
        let decision = decide(&set, &PLAN, &Requests::default(), &[replica(&[("active", Phase::Active)])]);
        assert_eq!(decision.ledger.published().is_some(), is_replaced, "{age}");
    }
}

#[test]
fn a_new_key_has_the_notes_of_its_phase() {
    let set = ledger(vec![key("active", Phase::Active, since(NOW))]);
    let rotated = decide(&set, &PLAN, &request(Request::Rotate), &[]);
    let published = KeyNotes { max_age: Some(300), ..since(NOW + 1) };
    assert_eq!(find(&rotated, "new").notes, published);
    let revoked = decide(&set, &PLAN, &request(Request::Revoke), &[]);
    let active = KeyNotes { longest_lifetime: Some(3600), ..since(NOW + 1) };
    assert_eq!(find(&revoked, "new").notes, active);
}

#[test]
fn a_longer_cache_time_is_remembered_until_its_copies_have_expired() {
    let published = key("published", Phase::Published, KeyNotes { max_age: Some(300), ..since(NOW) });
    let set = ledger(vec![key("active", Phase::Active, since(NOW)), published]);
    let with = |set: &Ledger, jwks_cache_time: u32| {
        decide(set, &Plan { jwks_cache_time, ..PLAN }, &Requests::default(), &[])
    };
    let ages = |decision: &Decision| {
        let notes = &decision.ledger.notes;
        (notes.max_age, notes.longest_max_age, find(decision, "published").notes.max_age)
    };
    assert_eq!(ages(&with(&set, 300)), (Some(300), Some(300), Some(300)));
    let longer = with(&set, 600);
    assert_eq!(ages(&longer), (Some(600), Some(600), None));
    assert_eq!(ages(&with(&longer.ledger, 60)), (Some(60), Some(600), None));
}

#[test]
fn the_longest_lifetime_counts_while_a_replica_may_sign_with_a_key() {
    let stopped = KeyNotes { signed_until: Some(NOW - 1), longest_lifetime: Some(60), ..since(NOW - 9) };
    let set = ledger(vec![
        key("stopped", Phase::Retiring, stopped),
        key("stopping", Phase::Retiring, since(NOW - 9)),
        key("active", Phase::Active, since(NOW - 9)),
        key("published", Phase::Published, since(NOW - 9)),
    ]);
    let mut slow = replica(&[]);
    slow.report.as_mut().unwrap().token_ttl = Some(7200);
    for (replicas, longest) in [(vec![slow, silent()], 7200), (vec![silent()], 3600)] {
        let decision = decide(&set, &PLAN, &Requests::default(), &replicas);
        let lifetime = |kid: &str| find(&decision, kid).notes.longest_lifetime;
        let lifetimes = ["stopped", "stopping", "active", "published"].map(lifetime);
        assert_eq!(lifetimes, [Some(60), Some(longest), Some(longest), None]);
    }
}

#[test]
fn a_published_key_signs_when_the_last_copy_without_it_has_expired() {
    // Copies of an earlier, longer cache time count too.
    for (longest, since_publication, afterwards) in
        [(300, Some(300), 300), (900, Some(300), 300), (900, None, 900)]
    {
        for (early, phase) in [(1, Phase::Published), (0, Phase::Active)] {
            let loaded_since = Some(NOW - i64::from(longest) - CACHE_SLACK + early);
            let notes = KeyNotes { loaded_since, max_age: since_publication, ..since(NOW - 2000) };
            let mut set = ledger(vec![
                key("active", Phase::Active, since(NOW - 10)),
                key("published", Phase::Published, notes),
            ]);
            set.notes.longest_max_age = Some(longest);
            let loaded = replica(&[("active", Phase::Active), ("published", Phase::Published)]);
            let decision = decide(&set, &PLAN, &Requests::default(), &[loaded]);
            assert_eq!(find(&decision, "published").phase, phase, "{longest} {early}");
            if phase == Phase::Active {
                assert_eq!(find(&decision, "active").phase, Phase::Retiring);
                assert_eq!(decision.ledger.notes.longest_max_age, Some(afterwards));
            }
        }
    }
}

#[test]
fn one_of_two_published_keys_becomes_active() {
    let notes = || KeyNotes { loaded_since: Some(NOW - 1000), max_age: Some(300), ..since(NOW - 2000) };
    let set = ledger(vec![
        key("active", Phase::Active, since(NOW - 10)),
        key("first", Phase::Published, notes()),
        key("second", Phase::Published, notes()),
    ]);
    let loaded = replica(&[("first", Phase::Published), ("second", Phase::Published)]);
    let decision = decide(&set, &PLAN, &Requests::default(), &[loaded]);
    assert_eq!(["first", "second"].map(|kid| find(&decision, kid).phase), [Phase::Active, Phase::Published]);
}

#[test]
fn a_silent_replica_does_not_restart_the_wait_of_a_key_that_has_stopped() {
    let notes = KeyNotes { signed_until: Some(NOW - 9), longest_lifetime: Some(3600), ..since(NOW - 20) };
    let set = ledger(vec![key("old", Phase::Retiring, notes), key("active", Phase::Active, since(NOW - 20))]);
    let good = replica(&[("old", Phase::Retiring), ("active", Phase::Active)]);
    let decision = decide(&set, &PLAN, &Requests::default(), &[good, silent()]);
    assert_eq!(find(&decision, "old").notes.signed_until, Some(NOW - 9));
    let waits_for = &decision.status.waits_for["old"];
    assert!(waits_for.starts_with("the last token that it signed to expire"), "{waits_for}");
    assert_eq!(decision.status.progress, Progress::Steady);
}

#[test]
fn a_replica_lags_after_two_minutes() {
    for (waiting, is_late) in [(120, false), (121, true)] {
        // The fastest clock is a second ahead, because times are rounded up.
        let published = key("published", Phase::Published, since(NOW + 1 - waiting));
        let set = ledger(vec![key("active", Phase::Active, since(NOW - 10)), published]);
        let decision = decide(&set, &PLAN, &Requests::default(), &[replica(&[("active", Phase::Active)])]);
        let progress = decision.status.progress;
        assert_eq!(matches!(progress, Progress::ReplicaLags(_)), is_late, "{progress:?}");
        assert_eq!(matches!(progress, Progress::Rotating(_)), !is_late, "{progress:?}");
    }
}

//! Random sequences of steps: time passes, the operator's clock jumps, replicas start, lag and stop, the operator
//! crashes or decides from an old version, and users change the spec or request new keys. The invariants are checked
//! after each step.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_keyset::{Algorithm, Phase, SetNotes};
use proptest::prelude::*;

use super::ledger::{Entry, Ledger};
use super::observed::{Plan, Replica, ReplicaReport, Request, Requests};
use super::rotation::decide_next;

#[derive(Debug, Clone)]
enum Step {
    Pass(i64),
    Jump(i64),
    Reconcile,
    /// The operator decides, and crashes before it writes.
    Crash,
    /// The operator decides from an outdated version, which the API server refuses.
    Stale,
    /// A pod does not respond this time.
    Silent(usize),
    Load(usize),
    /// Every replica loads the set.
    Follow,
    Start,
    Stop(usize),
    End(usize),
    Sign(usize),
    Fetch(usize),
    Ask(Request),
    TokenTtl(i64),
    CacheTime(u32),
    Algorithm(Algorithm),
}

fn any_step() -> impl Strategy<Value = Step> {
    let replica = || 0..4_usize;
    let request = prop_oneof![4 => Just(Request::Rotate), 1 => Just(Request::Revoke)];
    prop_oneof![
        6 => prop::sample::select(vec![1, 7, 60, 301, 900, 4000, 90_000]).prop_map(Step::Pass),
        1 => prop::sample::select(vec![-100_000_000, -4000, 0, 0, 4000, 100_000_000]).prop_map(Step::Jump),
        10 => Just(Step::Reconcile),
        2 => Just(Step::Crash),
        2 => Just(Step::Stale),
        2 => replica().prop_map(Step::Silent),
        4 => replica().prop_map(Step::Load),
        6 => Just(Step::Follow),
        1 => Just(Step::Start),
        1 => replica().prop_map(Step::Stop),
        1 => replica().prop_map(Step::End),
        8 => replica().prop_map(Step::Sign),
        6 => replica().prop_map(Step::Fetch),
        2 => request.prop_map(Step::Ask),
        1 => prop::sample::select(vec![60, 3600, 86_400]).prop_map(Step::TokenTtl),
        1 => prop::sample::select(vec![1, 60, 300, 3000]).prop_map(Step::CacheTime),
        1 => prop::sample::select(vec![Algorithm::Es256, Algorithm::EdDsa]).prop_map(Step::Algorithm),
    ]
}

struct Pod {
    loaded: Ledger,
    token_ttl: i64,
    stopping: bool,
}

struct World {
    time: i64,
    /// The error of the operator's clock.
    off: i64,
    plan: Plan,
    requests: Requests,
    secret: Ledger,
    before: Ledger,
    /// What new pods are configured with.
    token_ttl: i64,
    pods: BTreeMap<usize, Pod>,
    made: usize,
    /// Key and expiry of every token.
    tokens: Vec<(String, i64)>,
    /// The cached key sets of verifiers, with their expiry.
    copies: Vec<(BTreeSet<String>, i64)>,
    revoked: BTreeSet<String>,
}

fn key(kid: &str, phase: Phase, algorithm: Algorithm) -> Entry {
    Entry { kid: kid.to_owned(), algorithm, phase, notes: latchkey_keyset::KeyNotes::default() }
}

impl World {
    fn new() -> Self {
        let plan =
            Plan { algorithm: Algorithm::Es256, interval: 50_000, token_ttl: 3600, jwks_cache_time: 300 };
        let secret =
            Ledger { entries: vec![key("k0", Phase::Active, Algorithm::Es256)], notes: SetNotes::default() };
        let mut world = Self {
            time: 1_000_000_000,
            off: 0,
            plan,
            requests: Requests::default(),
            before: secret.clone(),
            secret,
            token_ttl: plan.token_ttl,
            pods: BTreeMap::new(),
            made: 0,
            tokens: Vec::new(),
            copies: Vec::new(),
            revoked: BTreeSet::new(),
        };
        world.take(&Step::Start);
        world.take(&Step::Start);
        world
    }

    fn replicas(&self, silent: Option<usize>) -> Vec<Replica> {
        let report = |pod: &Pod| ReplicaReport {
            keys: pod.loaded.entries.iter().map(|entry| (entry.kid.clone(), Some(entry.phase))).collect(),
            time: Some(self.time),
            jwks_cache_time: Some(pod.loaded.notes.max_age()),
            token_ttl: Some(pod.token_ttl),
            may_sign_with_others: false,
        };
        let replica = |(number, pod): (&usize, &Pod)| Replica {
            pod: number.to_string(),
            report: (!pod.stopping && silent != Some(*number)).then(|| report(pod)),
        };
        self.pods.iter().map(replica).collect()
    }

    fn decide(&mut self, from: &Ledger, silent: Option<usize>) -> Ledger {
        let replicas = self.replicas(silent);
        let made = &mut self.made;
        let mut fresh = |_: Algorithm| {
            *made += 1;
            Ok::<_, ()>(format!("k{made}"))
        };
        let decision =
            decide_next(from, self.time + self.off, &self.plan, &self.requests, &replicas, &mut fresh)
                .unwrap();
        let reported: BTreeSet<_> = decision.status.waits_for.keys().collect();
        assert_eq!(reported, decision.ledger.entries.iter().map(|entry| &entry.kid).collect());
        decision.ledger
    }

    fn write(&mut self, next: Ledger) {
        let gone = |kid: &String| next.entries.iter().all(|entry| entry.kid != *kid);
        if self.secret.active().is_some_and(|active| gone(&active.kid)) {
            // After a revocation, earlier tokens and copies do not count any more.
            self.tokens.retain(|(kid, _)| !gone(kid));
            self.copies.clear();
            self.revoked.extend(self.secret.entries.iter().map(|entry| entry.kid.clone()));
        }
        self.before = std::mem::replace(&mut self.secret, next);
        self.token_ttl = self.plan.token_ttl;
    }

    fn take(&mut self, step: &Step) {
        let secret = self.secret.clone();
        match step {
            Step::Pass(seconds) => self.time += seconds,
            Step::Jump(off) => self.off = *off,
            Step::Reconcile => {
                let next = self.decide(&secret, None);
                self.write(next);
            }
            Step::Silent(number) => {
                let next = self.decide(&secret, Some(*number));
                self.write(next);
            }
            Step::Crash => drop(self.decide(&secret, None)),
            Step::Stale => {
                let before = self.before.clone();
                let next = self.decide(&before, None);
                if before == secret {
                    self.write(next);
                }
            }
            Step::Load(number) => {
                if let Some(pod) = self.pods.get_mut(number) {
                    pod.loaded = secret;
                }
            }
            Step::Follow => self.pods.values_mut().for_each(|pod| pod.loaded = secret.clone()),
            Step::Start => {
                if let Some(free) = (0..4).find(|number| !self.pods.contains_key(number)) {
                    let pod = Pod { loaded: secret, token_ttl: self.token_ttl, stopping: false };
                    self.pods.insert(free, pod);
                }
            }
            Step::Stop(number) => {
                if let Some(pod) = self.pods.get_mut(number) {
                    pod.stopping = true;
                }
            }
            Step::End(number) => {
                self.pods.remove(number);
            }
            Step::Sign(number) => self.sign(*number),
            Step::Fetch(number) => {
                if let Some(pod) = self.pods.get(number).filter(|pod| !self.is_unaware(pod)) {
                    let kids = pod.loaded.entries.iter().map(|entry| entry.kid.clone()).collect();
                    self.copies.push((kids, self.time + i64::from(pod.loaded.notes.max_age())));
                }
            }
            Step::Ask(request) => {
                self.made += 1;
                self.requests.requested.insert(request.as_str().to_owned(), self.made.to_string());
            }
            Step::TokenTtl(ttl) => self.plan.token_ttl = *ttl,
            Step::CacheTime(time) => self.plan.jwks_cache_time = *time,
            Step::Algorithm(algorithm) => self.plan.algorithm = *algorithm,
        }
    }

    fn sign(&mut self, number: usize) {
        let Some(pod) = self.pods.get(&number) else { return };
        let kid = pod.loaded.active().unwrap().kid.clone();
        // Tokens that it signs now are refused, as intended.
        if self.is_unaware(pod) {
            return;
        }
        let knows = |pod: &Pod| pod.loaded.entries.iter().any(|entry| entry.kid == kid);
        assert!(
            self.pods.values().all(|pod| knows(pod) || self.is_unaware(pod)),
            "a replica does not know {kid}"
        );
        for (copy, until) in &self.copies {
            assert!(*until <= self.time || copy.contains(&kid), "a verifier's copy lacks {kid}");
        }
        self.tokens.push((kid, self.time + pod.token_ttl));
    }

    /// Whether a replica has not loaded the set after a revocation.
    fn is_unaware(&self, pod: &Pod) -> bool {
        pod.loaded.active().is_some_and(|active| self.revoked.contains(&active.kid))
    }

    fn check(&self) {
        let active = self.secret.entries.iter().filter(|entry| entry.phase == Phase::Active).count();
        assert_eq!(active, 1, "{:?}", self.secret);
        for (kid, expires) in &self.tokens {
            let there = self.secret.entries.iter().any(|entry| entry.kid == *kid);
            assert!(
                there || *expires <= self.time,
                "{kid} is gone and a token of it lives: {:?}",
                self.secret
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn one_key_signs_all_tokens_verify_and_no_verifier_is_surprised(
        steps in prop::collection::vec(any_step(), 1..150),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check();
        }
        // In good conditions every requested rotation completes, whatever happened before.
        world.take(&Step::Jump(0));
        world.requests.requested.insert(Request::Rotate.as_str().to_owned(), "last".to_owned());
        world.pods.retain(|_, pod| !pod.stopping);
        world.take(&Step::Start);
        for _ in 0..8 {
            world.take(&Step::Reconcile);
            for number in 0..4 {
                world.take(&Step::Load(number));
                world.take(&Step::Sign(number));
            }
            world.check();
            world.take(&Step::Pass(100_000));
        }
        prop_assert!(world.secret.active().unwrap().notes.since.unwrap() <= world.time);
        prop_assert!(world.secret.entries.len() <= 3, "{:?}", world.secret);
        prop_assert_eq!(world.secret.active().unwrap().algorithm, world.plan.algorithm);
    }
}

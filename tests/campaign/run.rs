//! One run: everything is started for a seed, used and disturbed, repaired, and checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::admin::Administrator;
use crate::application::{self, Application};
use crate::canary::Canary;
use crate::checker::{Promise, Violation, check, lost_to_grace_period};
use crate::client::Client;
use crate::faults::{Durations, Fault};
use crate::finals;
use crate::history::{History, Op, Outcome, Record};
use crate::random::Random;
use crate::registry::Registrar;
use crate::user::User;
use crate::world::{Plan, World};

/// How long a run is, and how hard.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// The run ends after this time, or after so many requests.
    pub time: Duration,
    pub requests: usize,
    pub users: u32,
    /// The mean pause of a user between two requests.
    pub pace: Duration,
    pub durations: Durations,
    /// These faults occur first.
    pub first: &'static [Fault],
}

/// What a run found.
#[derive(Debug)]
pub struct Report {
    pub seed: u64,
    pub plan: Plan,
    pub requests: usize,
    pub faults: BTreeMap<Fault, usize>,
    pub outcomes: BTreeMap<String, usize>,
    pub operations: BTreeMap<String, usize>,
    pub violations: Vec<Violation>,
    pub peak_memory: u64,
    pub slowest: Option<Record>,
    pub lost_to_grace_period: usize,
    /// How much of the time the machine had too little CPU time for the deadlines to count.
    pub starved_percent: usize,
}

/// Runs a seed.
pub async fn run(seed: u64, form: Form) -> Report {
    let mut random = Random::new(seed);
    let plan = Plan::of(&mut random);
    say(&format!("seed {seed}: starting {plan:?}"));
    let world = Arc::new(World::start(plan).await);
    let canary = Canary::start(world.recorder.begun());
    let client = |number: u64| Client::new(Arc::clone(&world), random.derive(1000 + number));
    let mut administrator = Administrator::new(client(0));
    // The first half exists before any fault, and the last of these is the deputy. The others register.
    let created: Vec<_> = (1..=form.users / 2).collect();
    administrator.create(&created).await;
    let mut registrar = Registrar::new(client(500));
    registrar.register_all().await;

    let stop = CancellationToken::new();
    let deputy = form.users / 2;
    let users = (1..=form.users).filter(|account| *account != deputy).map(|account| {
        let mut user = User::new(account, client(account.into()));
        let (stop, is_new) = (stop.clone(), account > form.users / 2);
        tokio::spawn(async move {
            if !is_new || user.register(&stop).await { Some(user.live(stop, form.pace).await) } else { None }
        })
    });
    let users: Vec<_> = users.collect();
    let administration = tokio::spawn(administrator.live(stop.clone()));
    let registration = tokio::spawn(registrar.live(stop.clone()));
    let applications: Vec<_> = application::accounts()
        .map(|account| {
            tokio::spawn(Application::new(account, client(account.into())).live(stop.clone(), form.pace))
        })
        .collect();
    disturb(&world, &mut random, form, seed).await;
    let is_ready = world.wait_until_ready(Duration::from_secs(30)).await;
    // All dependencies are there: what follows has no excuse but the recovery.
    stop.cancel();
    let mut violations = Vec::new();
    if !is_ready {
        violations.push(Violation {
            promise: Promise::OrderlyErrors,
            what: "a replica was not ready 30 s after the last fault".to_owned(),
        });
    }
    let users = join_all(users).await.into_iter().filter_map(|user| user.expect("a user does not panic"));
    administration.await.expect("an administrator does not panic");
    registration.await.expect("the registrar does not panic");
    for application in join_all(applications).await {
        application.expect("an application does not panic").check_finally().await;
    }
    let mut users: Vec<_> = users.collect();
    for user in &mut users {
        user.check_finally().await;
    }
    let mut finals = finals::read(&world).await;
    let stalls = canary.stalls();
    let (records, faults) = world.recorder.take();
    let registries = world.recorder.take_registries();
    finals::stop(&world, &mut finals).await;
    let history = History { records, faults, registries, finals, stalls };
    violations.extend(check(&history));
    crate::keep::keep(seed, &history, &violations);
    summarise(seed, plan, &history, violations)
}

/// Causes faults, one or two at a time, until the run is long enough.
async fn disturb(world: &Arc<World>, random: &mut Random, form: Form, seed: u64) {
    let end = Instant::now() + form.time;
    let mut deck = form.first.to_vec();
    random.shuffle(&mut deck);
    let mut reported = Instant::now();
    while Instant::now() < end && world.recorder.count() < form.requests {
        let calm = random.between(Duration::from_millis(300), Duration::from_millis(1500));
        tokio::time::sleep(calm).await;
        let first = draw(world, random, &mut deck).await;
        let second = if random.happens(50) { Some(draw(world, random, &mut deck).await) } else { None };
        // Two faults of one group follow each other.
        let (second, later) = match second {
            Some(second) if second.group() == first.group() => (None, Some(second)),
            second => (second, None),
        };
        deck.extend(later);
        let (mut one, mut other) = (random.derive(1), random.derive(2));
        let delay = random.between(Duration::ZERO, form.durations.least);
        let started = Instant::now();
        let pair = async {
            if let Some(second) = second {
                tokio::time::sleep(delay).await;
                world.suffer(second, &mut other, form.durations).await;
            }
        };
        tokio::join!(world.suffer(first, &mut one, form.durations), pair);
        if reported.elapsed() > Duration::from_secs(4) {
            reported = Instant::now();
            let names = second.map_or(format!("{first:?}"), |second| format!("{first:?} + {second:?}"));
            say(&format!(
                "seed {seed}: {} requests; {names} for {:.1} s",
                world.recorder.count(),
                started.elapsed().as_secs_f64()
            ));
        }
    }
}

/// The next fault of a shuffled deck of all kinds, so that each occurs once before any occurs again.
async fn draw(world: &World, random: &mut Random, deck: &mut Vec<Fault>) -> Fault {
    loop {
        if deck.is_empty() {
            let only = std::env::var("LATCHKEY_CAMPAIGN_FAULTS").unwrap_or_default();
            let is_wanted =
                |fault: &Fault| only.is_empty() || only.split(',').any(|name| name == format!("{fault:?}"));
            deck.extend(Fault::ALL.into_iter().filter(is_wanted));
            assert!(!deck.is_empty(), "LATCHKEY_CAMPAIGN_FAULTS names no fault");
            random.shuffle(deck);
        }
        if let Some(fault) = deck.pop()
            && world.can(fault).await
        {
            return fault;
        }
    }
}

fn summarise(seed: u64, plan: Plan, history: &History, violations: Vec<Violation>) -> Report {
    let mut report = Report {
        seed,
        plan,
        requests: history.records.len(),
        faults: BTreeMap::new(),
        outcomes: BTreeMap::new(),
        operations: BTreeMap::new(),
        violations,
        peak_memory: history.finals.peak_memory,
        lost_to_grace_period: lost_to_grace_period(history),
        starved_percent: history.stalls.starved_percent(),
        slowest: history.records.iter().max_by_key(|record| record.took()).cloned(),
    };
    for window in &history.faults {
        *report.faults.entry(window.fault).or_default() += 1;
    }
    for record in &history.records {
        let outcome = match record.outcome {
            Outcome::Answered { status, .. } => status.to_string(),
            other => format!("{other:?}").to_lowercase(),
        };
        *report.outcomes.entry(outcome).or_default() += 1;
        *report.operations.entry(name(record.op)).or_default() += 1;
    }
    report
}

fn name(op: Op) -> String {
    let name = format!("{op:?}");
    name.split([' ', '{']).next().unwrap_or_default().to_owned()
}

#[expect(clippy::print_stderr, reason = "the progress of a long run")]
pub fn say(line: &str) {
    eprintln!("{line}");
}

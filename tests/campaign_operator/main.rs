//! The fault campaign of the operator: each plan lets an operator do something while one thing goes wrong, and then
//! requires the result of an undisturbed run, a history without a forbidden step, and silence
//! (docs/explanation/reliability.md).
//!
//! The variables `LATCHKEY_CAMPAIGN_*` choose the long form (scripts/campaign-operator).

mod call;
mod checker;
mod drift;
mod fault;
mod history;
mod keep;
mod normal;
mod observer;
mod plan;
mod proxy;
#[path = "../campaign/random.rs"]
mod random;
mod replicas;
mod run;
mod scenario;
mod special;
mod view;
mod walk;
mod walking;
mod world;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{StreamExt, stream};
use latchkey_tests::control_plane::Part;

use checker::Violation;
use fault::{Fault, View};
use keep::say;
use plan::{Plan, choose};
use run::{Outcome, measure, run};
use scenario::Scenario;
use world::World;

/// The plans of `make test`.
const SHORT: usize = 60;
/// A fresh control plane after this number of plans, because its files grow.
const PER_WORLD: usize = 300;

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// The outcomes so far.
struct Progress {
    seed: u64,
    total: usize,
    started: Instant,
    reported: Instant,
    outcomes: Vec<Outcome>,
}

impl Progress {
    fn add(&mut self, outcome: Outcome) {
        for violation in &outcome.violations {
            let Violation { rule, what } = violation;
            say(&format!("plan {} ({}): {rule:?}: {what}", outcome.plan.number, outcome.plan));
        }
        self.outcomes.push(outcome);
        if self.reported.elapsed() > Duration::from_secs(10) {
            self.reported = Instant::now();
            let bad = self.outcomes.iter().filter(|outcome| !outcome.violations.is_empty()).count();
            let (done, seconds) = (self.outcomes.len(), self.started.elapsed().as_secs_f64());
            say(&format!("{done} of {} plans after {seconds:.0} s, {bad} with violations", self.total));
            keep::keep_summary(&self.summary());
        }
    }

    fn summary(&self) -> String {
        keep::summary(self.seed, &self.outcomes, self.started.elapsed())
    }
}

/// Runs all plans, and returns their outcomes.
async fn run_all(seed: u64, plans: Vec<Plan>) -> Vec<Outcome> {
    let at_once = number("LATCHKEY_CAMPAIGN_CONCURRENCY").unwrap_or(10);
    let now = Instant::now();
    let mut progress =
        Progress { seed, total: plans.len(), started: now, reported: now, outcomes: Vec::new() };
    for part in plans.chunks(PER_WORLD) {
        let world = World::start().await;
        let scenarios: BTreeSet<Scenario> = part.iter().map(|plan| plan.scenario).collect();
        let scenarios: Vec<_> = scenarios.into_iter().collect();
        let baselines = measure(&world, &scenarios).await;
        keep::note(&format!("undisturbed runs after {:.0} s", progress.started.elapsed().as_secs_f64()));
        let outage = |plan: &Plan| if let Fault::Outage { part } = plan.fault { Some(part) } else { None };
        let alone = part.iter().filter(|plan| outage(plan).is_none()).cloned();
        let runs = stream::iter(alone).map(|plan| run(&world, &baselines, plan));
        let mut runs = std::pin::pin!(runs.buffer_unordered(at_once));
        while let Some(outcome) = runs.next().await {
            progress.add(outcome);
        }
        // Whatever crashes, crashes for all.
        for of in [Part::ApiServer, Part::Etcd] {
            let plans: Vec<Plan> = part.iter().filter(|plan| outage(plan) == Some(of)).cloned().collect();
            for plans in plans.chunks(at_once) {
                world.outage.begin();
                let runs = join_all(plans.iter().map(|plan| run(&world, &baselines, plan.clone())));
                let (outcomes, ()) = tokio::join!(runs, world.outage.cause(&world, of, plans.len()));
                for outcome in outcomes {
                    progress.add(outcome);
                }
            }
        }
    }
    let summary = progress.summary();
    keep::keep_summary(&summary);
    say(&summary);
    progress.outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_result_is_that_of_an_undisturbed_run_whatever_fails() {
    let seed = number("LATCHKEY_CAMPAIGN_SEED").unwrap_or(1) as u64;
    let mut plans = choose(seed, number("LATCHKEY_CAMPAIGN_PLANS").unwrap_or(SHORT));
    let only = std::env::var("LATCHKEY_CAMPAIGN_ONLY").unwrap_or_default();
    plans.retain(|plan| only.split(' ').all(|word| plan.to_string().contains(word)));
    assert!(!plans.is_empty(), "LATCHKEY_CAMPAIGN_ONLY chooses no plan");
    let outcomes = run_all(seed, plans).await;
    let bad = outcomes.iter().filter(|outcome| !outcome.violations.is_empty()).count();
    assert_eq!(bad, 0, "plans with violations");
}

/// Runs plans of one family, each of which has to meet its fault, and requires that none has a violation.
async fn assert_kept(plans: impl Iterator<Item = (Scenario, Fault)>) {
    if std::env::var_os("LATCHKEY_CAMPAIGN_PLANS").is_some() {
        return;
    }
    let number =
        |(index, (scenario, fault))| Plan { number: index + 1, family: plan::Family::View, scenario, fault };
    let outcomes = run_all(0, plans.enumerate().map(number).collect()).await;
    for outcome in outcomes {
        assert!(outcome.struck > 0, "{} did not meet its fault", outcome.plan);
        assert!(outcome.violations.is_empty(), "{}: {:?}", outcome.plan, outcome.violations);
    }
}

/// A restarted operator must not act on a spec that is older than the present one, although an API server that lags
/// behind serves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restarted_operator_does_not_act_on_an_older_spec() {
    let scenarios = [Scenario::Expose, Scenario::Conceal, Scenario::ToExternal, Scenario::Upgrade];
    let fault = Fault::OlderList { resource: "authservices", lasts: Duration::from_secs(3) };
    assert_kept(scenarios.into_iter().map(|scenario| (scenario, fault.clone()))).await;
}

/// A restarted operator must not register a deleted AuthClient again, or an older spec of one, although an API server that
/// lags behind serves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restarted_operator_does_not_register_by_an_older_list() {
    let fault = Fault::OlderList { resource: "authclients", lasts: Duration::from_secs(3) };
    let scenarios = [Scenario::DeleteClient, Scenario::EditClient];
    assert_kept(scenarios.into_iter().map(|scenario| (scenario, fault.clone()))).await;
}

/// The objects of a deleted AuthService are not created again while the watch does not show the deletion: they would have
/// other passwords, and stand in the way of the new AuthService of that name.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_created_for_a_deleted_auth_service() {
    let views = [View::Frozen, View::Late(Duration::from_secs(2)), View::Cut, View::Cut];
    let fault = |view| Fault::Watch { resource: "authservices", view, lasts: Duration::from_secs(2) };
    assert_kept(views.into_iter().map(|view| (Scenario::Recreate, fault(view)))).await;
}

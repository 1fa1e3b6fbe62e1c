//! Runs a plan, and compares its result with that of an undisturbed run.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::join_all;
use latchkey_tests::operator::Operator;
use latchkey_tests::wait;
use serde_json::json;

use crate::checker::{NOTE, Rule, Violation, check};
use crate::drift::{self, Deed};
use crate::fault::Fault;
use crate::history::History;
use crate::keep;
use crate::normal::{Normal, differences, normalise};
use crate::plan::Plan;
use crate::proxy::Write;
use crate::replicas::condition;
use crate::scenario::{NAME, Scenario, wait_for};
use crate::special;
use crate::walking;
use crate::world::{Place, World};

/// The result of each scenario without a fault.
pub type Baselines = BTreeMap<Scenario, Normal>;

/// How long the operator may take after the fault to reach the result. Its retries are up to two minutes apart, and a
/// request without a response takes 35 s.
pub const RESULT_WITHIN: Duration = Duration::from_mins(2);
/// How long no write may be seen before the operator counts as quiet.
const QUIET: Duration = Duration::from_millis(1500);

/// What became of a plan.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub plan: Plan,
    /// How often the fault had an effect.
    pub struck: usize,
    pub took: Duration,
    pub violations: Vec<Violation>,
}

/// Runs each scenario once without a fault.
pub async fn measure(world: &World, scenarios: &[Scenario]) -> Baselines {
    let runs = scenarios.iter().map(async |scenario| (*scenario, baseline(world, *scenario).await));
    join_all(runs).await.into_iter().collect()
}

async fn baseline(world: &World, scenario: Scenario) -> Normal {
    let place = world.namespace().await;
    let operator = reach_base(&place, scenario).await;
    let before = place.proxy.writes().len();
    scenario.act(&place).await;
    wait_for(&place.history, &format!("the result of {scenario:?}"), |history| scenario.is_done(history))
        .await;
    let mut violations = Vec::new();
    be_quiet(&place, &operator, &mut violations).await;
    assert!(scenario.is_done(&place.history), "{scenario:?} was not the final state");
    violations.extend(check(&place.history.entries(), &place.proxy.writes()));
    assert!(violations.is_empty(), "an undisturbed {scenario:?} breaks rules: {violations:#?}");
    keep::note(&format!("{scenario:?}: {} writes without a fault", place.proxy.writes().len() - before));
    place.history.with_objects(|objects| normalise(&place.name, objects))
}

/// Starts an operator, and waits until it has reached the base.
pub async fn reach_base(place: &Place<'_>, scenario: Scenario) -> Operator {
    scenario.prepare(place).await;
    let mut operator = place.start_operator(&[]);
    operator.wait_until_ready().await;
    if let Some(base) = scenario.base() {
        place.apply(&base).await;
        wait_for(&place.history, &format!("the base of {scenario:?}"), is_settled).await;
        for (kind, name) in [("Deployment", NAME), ("Service", NAME), ("ConfigMap", "auth-settings")] {
            let note = json!({"metadata": {"annotations": {NOTE: "theirs"}}});
            place.merge(kind, name, &note).await.expect("the API server accepts the annotation");
        }
        scenario.approach(place).await;
    }
    operator
}

fn is_settled(history: &History) -> bool {
    let holds =
        |kind: &str, status: &str| condition(history, kind).is_some_and(|found| found["status"] == status);
    holds("Ready", "True") && holds("Progressing", "False") && holds("KeysReady", "True")
}

/// Runs a plan. A panic of the plan is a violation too.
pub async fn run(world: &World, baselines: &Baselines, plan: Plan) -> Outcome {
    let started = Instant::now();
    let place = world.namespace().await;
    let operator = RefCell::new(None);
    let result = AssertUnwindSafe(follow(&place, baselines, &plan, &operator)).catch_unwind().await;
    let mut violations = result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        vec![Violation::new(Rule::OtherResult, text.unwrap_or_default())]
    });
    violations.extend(check(&place.history.entries(), &place.proxy.writes()));
    let log = operator.borrow().as_ref().map(Operator::log).unwrap_or_default();
    if log.contains("panicked") {
        violations.push(Violation::new(Rule::Crashed, "the operator panicked"));
    }
    if !violations.is_empty() {
        keep::keep(&plan, &place, &violations, &log);
    }
    Outcome { struck: place.proxy.struck(), took: started.elapsed(), violations, plan }
}

async fn follow(
    place: &Place<'_>,
    baselines: &Baselines,
    plan: &Plan,
    operator: &RefCell<Option<Operator>>,
) -> Vec<Violation> {
    let scenario = plan.scenario;
    if let Fault::Walk { seed } = plan.fault {
        return walking::follow(place, seed, operator).await;
    }
    operator.replace(Some(reach_base(place, scenario).await));
    if let Fault::DeletedMeanwhile { .. } = plan.fault {
        return special::delete_meanwhile(place, &plan.fault).await;
    }
    let expected = &expected_of(plan, &baselines[&scenario]);
    let mut further = None;
    match plan.fault {
        Fault::OlderList { resource, lasts } => {
            place.proxy.keep_lists(resource).await;
            scenario.act(place).await;
            if let Some(violation) = reach(place, scenario, expected).await {
                return vec![violation];
            }
            place.proxy.arm(plan.fault.clone());
            restart(place, operator);
            tokio::time::sleep(lasts).await;
            place.proxy.lift();
        }
        Fault::Watch { lasts, .. } => {
            place.proxy.arm(plan.fault.clone());
            scenario.act(place).await;
            tokio::time::sleep(lasts).await;
            place.proxy.lift();
        }
        Fault::Away { .. }
        | Fault::Suspended { .. }
        | Fault::Restarted { .. }
        | Fault::TwoOperators
        | Fault::LostLease
        | Fault::ClockJump { .. }
        | Fault::Quota { .. }
        | Fault::Refused { .. } => further = special::act(place, scenario, &plan.fault, operator).await,
        Fault::Outage { .. } => {
            scenario.act(place).await;
            place.proxy.shared.strike();
            place.world.outage.acted().await;
        }
        Fault::Drift { kind, name, deed } => {
            if drift::act(place, kind, name, deed).await {
                place.proxy.shared.strike();
            }
        }
        _ => {
            place.proxy.arm(plan.fault.clone());
            let acts = scenario.act(place);
            with_crashes(place, operator, acts).await;
        }
    }
    let mut violations = Vec::new();
    violations.extend(with_crashes(place, operator, reach(place, scenario, expected)).await);
    place.proxy.lift();
    if place.proxy.is_crash_due() {
        // It was the last write, which the result does not need.
        let crashed = async { place.proxy.crashes.lock().await.recv().await };
        assert!(tokio::time::timeout(RESULT_WITHIN, crashed).await.is_ok(), "the crash does not occur");
        restart(place, operator);
    }
    if violations.is_empty() {
        let running = operator.take().expect("an operator");
        be_quiet(place, &running, &mut violations).await;
        operator.replace(Some(running));
        let found = found(place, scenario, expected);
        violations.extend(found.err().map(|found| Violation::new(Rule::OtherResult, found.join("; "))));
    }
    drop(further);
    violations
}

/// The result that the plan requires.
fn expected_of(plan: &Plan, baseline: &Normal) -> Normal {
    let mut expected = baseline.clone();
    let Fault::Drift { kind, name, deed } = &plan.fault else { return expected };
    if *deed == Deed::Deletes
        && let Some(object) = expected.get_mut(&format!("{kind}/{name}"))
    {
        // The next object of that name has no fields of others.
        object["metadata"]["annotations"].as_object_mut().map(|annotations| annotations.remove(NOTE));
    }
    // The Deployment records its migration, so that a deleted Job is not created again.
    if *kind == "Job" && *deed == Deed::Deletes {
        expected.retain(|name, _| !name.starts_with("Job/"));
    }
    expected
}

/// Kills and restarts the operator whenever the proxy asks for it, until `work` ends.
async fn with_crashes<T>(
    place: &Place<'_>,
    operator: &RefCell<Option<Operator>>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    let mut crashes = place.proxy.crashes.lock().await;
    loop {
        tokio::select! {
            done = &mut work => return done,
            Some(()) = crashes.recv() => restart(place, operator),
        }
    }
}

/// Kills the operator and starts another one.
fn restart(place: &Place<'_>, operator: &RefCell<Option<Operator>>) {
    if let Some(mut old) = operator.take() {
        old.kill();
    }
    place.proxy.crashed();
    operator.replace(Some(place.start_operator(&[])));
}

fn found(place: &Place<'_>, scenario: Scenario, expected: &Normal) -> Result<(), Vec<String>> {
    let found = place.history.with_objects(|objects| normalise(&place.name, objects));
    let (mut found, mut expected) = (found, expected.clone());
    if scenario.is_still() {
        ignore_rollouts(&mut found);
        ignore_rollouts(&mut expected);
    }
    let mut all = differences(&expected, &found);
    if all.is_empty() && !scenario.is_done(&place.history) {
        all.push("the AuthService does not report the result".to_owned());
    }
    if all.is_empty() { Ok(()) } else { Err(all) }
}

/// An edit of the pods by another client and its repair are rollouts.
fn ignore_rollouts(objects: &mut Normal) {
    let annotations = objects
        .get_mut("Deployment/auth")
        .and_then(|object| object["metadata"]["annotations"].as_object_mut());
    if let Some(annotations) = annotations {
        annotations.remove("deployment.kubernetes.io/revision");
    }
}

/// Waits until the objects are those of an undisturbed run.
async fn reach(place: &Place<'_>, scenario: Scenario, expected: &Normal) -> Option<Violation> {
    let mut changes = place.history.changes();
    let deadline = tokio::time::Instant::now() + RESULT_WITHIN;
    loop {
        changes.borrow_and_update();
        let Err(found) = found(place, scenario, expected) else { return None };
        let next = tokio::time::timeout_at(deadline, changes.changed()).await;
        if next.is_err() {
            return Some(Violation::new(Rule::OtherResult, found.join("; ")));
        }
        // Comparing all objects takes longer than to receive a change.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the operator writes nothing, and requires that two reconciles write nothing either. On a busy machine, a
/// controller may finish its work only then, so that this is tried three times.
pub async fn be_quiet(place: &Place<'_>, operator: &Operator, violations: &mut Vec<Violation>) {
    let mut more = Vec::new();
    for _ in 0..3 {
        wait_for_silence(place).await;
        let before = place.proxy.writes().len();
        for _ in 0..2 {
            let reconciles = operator.metric("latchkey_operator_reconcile_total", &[]).await;
            place.touch().await;
            // The reconcile before may wait for a response that never comes.
            wait::until_within(RESULT_WITHIN, Duration::from_millis(20), "another reconcile", async || {
                let ended = operator.metric("latchkey_operator_reconcile_total", &[]).await;
                wait::check(ended > reconciles, ended)
            })
            .await;
        }
        more = place.proxy.writes()[before..].iter().map(Write::describe).collect();
        if more.is_empty() {
            return;
        }
    }
    violations.push(Violation::new(Rule::NeverQuiet, more.join(", ")));
}

async fn wait_for_silence(place: &Place<'_>) {
    let seen = Cell::new((place.proxy.writes().len(), Instant::now()));
    wait::until_within(RESULT_WITHIN, Duration::from_millis(100), "the operator to be quiet", async || {
        let count = place.proxy.writes().len();
        if count != seen.get().0 {
            seen.set((count, Instant::now()));
        }
        wait::check(seen.get().1.elapsed() >= QUIET, count)
    })
    .await;
}

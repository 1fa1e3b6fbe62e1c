//! A thousand AuthServices on one real API server: the time until all objects are correct, the cost of a restart and of
//! the steady state, and the memory of the operator. Then the same with a thousand AuthClients of one AuthService. Prints
//! each figure with its target. `make bench-operator` runs it with a release build; it is not a test, and only fails on
//! errors.

mod api_server_metrics;
mod broken;
mod calibration;
mod clients;
mod costs;
mod fleet;
mod profile;
mod servers;

use std::time::{Duration, Instant};

use kube::ResourceExt;
use latchkey_tests::control_plane::{
    CONTROLLERS, Contents, ControlPlane, auth_service_crd, service_monitor_crd,
};
use latchkey_tests::kubelet::{Kubelet, Outcome, is_of_job};
use latchkey_tests::operator::{Installation, Operator};

use nix::time::{ClockId, clock_gettime};

use api_server_metrics::{ApiServerMetrics, Requests, show};
use broken::Broken;
use costs::Costs;
use fleet::Fleet;
use servers::{INSTANCE, Servers};

/// The controllers that create pods of Deployments and Jobs, and make namespaces usable. Others would do work for
/// each AuthService that the operator does not need.
const POD_MAKERS: [&str; 5] = [
    "deployment-controller",
    "job-controller",
    "namespace-controller",
    "replicaset-controller",
    "serviceaccount-controller",
];
const MEBI: f64 = 1024.0 * 1024.0;

#[expect(clippy::print_stdout, reason = "the output of this program")]
fn say(line: &str) {
    println!("{line}");
}

fn figure(name: &str, measured: &str, target: &str) {
    say(&format!("{name:<44} {measured:<34} {target}"));
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How long the steady state is observed: longer than the interval at which the operator queries every server.
fn steady_time() -> Duration {
    Duration::from_secs(number("LATCHKEY_BENCH_STEADY", 75) as u64)
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let sizes = std::env::var("LATCHKEY_BENCH_SIZES").unwrap_or_default();
    let sizes: Vec<usize> = sizes.split_whitespace().filter_map(|size| size.parse().ok()).collect();
    let count = number("LATCHKEY_BENCH_COUNT", 1000);
    if !sizes.is_empty() {
        let all: Vec<Costs> = sizes.into_iter().map(|size| runtime.block_on(bench(size))).collect();
        Costs::print(&all);
    } else if count > 0 {
        runtime.block_on(bench(count));
    }
    let clients = std::env::var("LATCHKEY_BENCH_CLIENTS").unwrap_or_default();
    for count in clients.split_whitespace().filter_map(|count| count.parse().ok()) {
        runtime.block_on(clients::bench(count));
    }
}

async fn bench(count: usize) -> Costs {
    let crds = [auth_service_crd(), service_monitor_crd()];
    let few = std::env::var_os("LATCHKEY_BENCH_CONTROLLERS").is_some_and(|which| which == "pods");
    let controllers: &[&str] = if few { &POD_MAKERS } else { &CONTROLLERS };
    let mut control_plane = ControlPlane::start(Contents { crds: &crds, controllers }).await;
    let client = control_plane.client().await;
    let installation = Installation::new(&control_plane, "latchkey-system", &[]).await;
    let rate = calibration::first_applies_a_second(&client).await;
    let fleet = Fleet::prepare(client.clone(), count).await;
    let servers = Servers::start(client.clone(), count).await;
    let addresses = servers.addresses();
    let kubelet = Kubelet::start_in_all_namespaces(client.clone(), move |pod| {
        if !is_of_job(pod) {
            Outcome::Ready(addresses.of(pod.labels().get(INSTANCE).map_or("", String::as_str)))
        } else if pod.name_any().starts_with(broken::PREFIX) {
            Outcome::Failed
        } else {
            Outcome::Succeeded
        }
    });
    let api_server = ApiServerMetrics::new(client.clone());
    let mut operator = installation.start("operator-0");
    operator.wait_until_ready().await;
    let empty = operator.memory();

    say(&format!("{count} AuthServices in {} namespaces, {}", fleet.namespaces(), fleet.description()));
    let broken = Broken::create(client.clone(), number("LATCHKEY_BENCH_BROKEN", 20)).await;
    let requests = api_server.requests().await;
    let (others, own) = (control_plane.processor_seconds(), own_processor_seconds());
    let begun = Instant::now();
    let profile = profile::begin(&control_plane);
    fleet.apply_all().await;
    let applied = begun.elapsed();
    let (correct, objects) = fleet.wait_until_ready(begun, &operator).await;
    let ready = begun.elapsed();
    assert_eq!(fleet.wait_until_correct().await, objects, "they stay correct");
    let bring_up = api_server.requests().await.since(&requests);
    let writes = control_plane.audit.writes_by(&installation.user);
    let refused = writes.iter().filter(|write| write.code >= 400).count();
    profile.end();
    let loaded = operator.memory();
    let busy = operator.processor_seconds();
    let own = own_processor_seconds() - own;
    let others: Vec<String> = control_plane
        .processor_seconds()
        .iter()
        .zip(others)
        .map(|(after, before)| after - before)
        .chain([own])
        .map(|seconds| format!("{seconds:.0} s"))
        .collect();
    let troubles = broken.reasons().await;
    broken.remove().await;

    // The remaining processes are the API server, its etcd and the operator.
    drop(kubelet);
    control_plane.stop_controllers();
    let reconciles = operator.metric("latchkey_operator_reconcile_total", &[]).await;
    fleet.wait_until_quiet(&operator).await;
    let requests = api_server.requests().await;
    let (busy_before, written) = (operator.processor_seconds(), own_writes(&control_plane, &installation));
    tokio::time::sleep(steady_time()).await;
    let steady = api_server.requests().await.since(&requests);
    let steady_writes = own_writes(&control_plane, &installation) - written;
    let steady_busy = (operator.processor_seconds() - busy_before) / steady_time().as_secs_f64();
    let steady_reconciles = operator.metric("latchkey_operator_reconcile_total", &[]).await - reconciles;
    let settled = operator.memory();

    operator.terminate();
    let written = own_writes(&control_plane, &installation);
    let requests = api_server.requests().await;
    let begun = Instant::now();
    let mut restarted = installation.start("operator-0");
    restarted.wait_until_ready().await;
    let again = begun.elapsed();
    wait_for_reconciles(&restarted, count).await;
    let reconciled = begun.elapsed();
    fleet.wait_until_quiet(&restarted).await;
    let restart = api_server.requests().await.since(&requests);
    let restart_writes = own_writes(&control_plane, &installation) - written;
    let after_restart = restarted.memory();

    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    say("");
    figure("figure", "measured", "target");
    figure("time to apply them", &seconds(applied), "");
    figure(&format!("all {objects} objects correct after"), &seconds(correct), "under 90 s");
    figure("all Ready, with pods created and started, after", &seconds(ready), "");
    figure("writes of the operator, of these refused", &format!("{}, {refused}", writes.len()), "");
    figure("CPU time of the operator", &format!("{busy:.1} s"), "");
    figure("  of etcd, API server, controllers, this program", &others.join(", "), "");
    let alone = correct.as_secs_f64() * rate;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let share = objects as f64 / alone;
    figure("first applies per second without other load", &format!("{rate:.0}"), "");
    figure("  all objects at this rate would take", &format!("{:.0}% of the time", 100.0 * share), "");
    figure("AuthServices that never become ready", &format!("{troubles:?}"), "");
    figure("a restarted operator is ready after", &seconds(again), "under 5 s");
    figure("  has reconciled all of them after", &seconds(reconciled), "");
    figure("  writes after the restart", &restart_writes.to_string(), "0");
    figure(
        &format!("writes in {} s of steady state", steady_time().as_secs()),
        &steady_writes.to_string(),
        "0",
    );
    figure(
        "  reconciles and CPU in that time",
        &format!("{steady_reconciles}, {:.1}%", 100.0 * steady_busy),
        "",
    );
    let memory = |memory: latchkey_tests::process::Memory| {
        #[expect(clippy::cast_precision_loss, reason = "a rounded figure")]
        let mebi = |bytes: u64| bytes as f64 / MEBI;
        format!("{:.0} MB (at most {:.0})", mebi(memory.resident), mebi(memory.peak))
    };
    figure("resident memory with no AuthService", &memory(empty), "");
    figure("  when all are ready", &memory(loaded), "under 80 MB");
    figure("  after the steady state", &memory(settled), "under 80 MB");
    figure("  after the restart", &memory(after_restart), "under 80 MB");
    say("\nrequests that the API server counted, without watches (operator, controllers and this program):");
    show("  bring-up", &bring_up);
    show("  of these, writes of the operator", &Requests::of(&writes));
    show("  steady state (operator and API server alone)", &steady);
    show("  restart", &restart);
    Costs {
        count,
        requests: bring_up.total(),
        writes: writes.len(),
        busy,
        correct,
        ready,
        empty,
        loaded,
        steady: steady_busy,
        restart: reconciled,
    }
}

fn own_processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("the clock of this process");
    Duration::from(time).as_secs_f64()
}

/// The number of writes, except to the Lease.
fn own_writes(control_plane: &ControlPlane, installation: &Installation) -> usize {
    let writes = control_plane.audit.writes_by(&installation.user);
    writes.iter().filter(|write| write.resource != "leases").count()
}

async fn wait_for_reconciles(operator: &Operator, count: usize) {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    operator.wait_for_reconciles(count as f64 - 0.5).await;
}

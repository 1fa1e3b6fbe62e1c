//! The same flows with Keycloak, in the same run.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::data::Size;
use crate::figure::{Figure, Samples, megabytes};
use crate::keycloak::Keycloak;
use crate::load::{Load, Pace};
use crate::options::Options;
use crate::progress;
use crate::replica::Replica;
use crate::results::Results;
use crate::stack::{Call, Stack, load};

/// A virtual machine of Java compiles the code that runs often.
const JAVA_WARM_UP: Duration = Duration::from_secs(15);

const CALLS: [(Call, &str); 3] = [
    (Call::Login, "password logins per second"),
    (Call::Me, "profile reads per second"),
    (Call::Refresh, "refreshes per second"),
];

/// Measures Latchkey and Keycloak in turn.
pub async fn compare(options: &Options, home: &Path, results: &mut Results) -> anyhow::Result<()> {
    let version = home.file_name().map(|name| name.to_string_lossy().replace('-', " ")).unwrap_or_default();
    let keycloak = Keycloak::start(home).await?;
    let mut stack = Stack::start(options, Size { users: 1_000, sessions: 50_000, revocations: 100 }).await?;
    let begin = Instant::now();
    let mut other = Replica::start_alone(&stack.variables)?;
    let start = other.time_to_ready(begin).await?;
    drop(other);
    let milliseconds = |time: Duration| Samples::from(time.as_secs_f64() * 1000.0);
    results.add(
        Figure::new("Latchkey: start to ready, with the schema in place", "ms", milliseconds(start))
            .beside(&version, &milliseconds(keycloak.start)),
    );
    for (call, name) in CALLS {
        progress(&format!("{name}: warming up Keycloak"));
        let flow = keycloak.flow(call).await?;
        let (own, theirs) =
            ((Samples::default(), Samples::default()), (Samples::default(), Samples::default()));
        let ((mut rates, mut micros), (mut peer_rates, mut peer_micros)) = (own, theirs);
        let targets = vec![keycloak.api];
        let new_load = || load(options, flow.clone(), targets.clone(), call.connections(), Pace::Closed);
        Load { duration: JAVA_WARM_UP, ..new_load() }.run().await?.checked()?;
        for _ in 0..options.runs {
            let (report, cost) = stack.saturate(call, 0).await?;
            rates.push(report.rate());
            micros.push(cost);
            let before = keycloak.process.processor_seconds();
            let report = new_load().run().await?.checked()?;
            peer_rates.push(report.rate());
            peer_micros
                .push((keycloak.process.processor_seconds() - before) * 1e6 / report.total.max(1) as f64);
        }
        results.add(Figure::new(format!("Latchkey: {name}"), "", rates).beside(&version, &peer_rates));
        let cost = format!(
            "Latchkey: CPU time of the server for one of the {}",
            name.trim_end_matches(" per second")
        );
        results.add(Figure::new(cost, "µs", micros).beside(&version, &peer_micros));
    }
    let memory = Samples::from(megabytes(stack.replicas[0].process.memory().resident));
    let figure = Figure::new("Latchkey: resident memory after the load", "MB", memory);
    results.add(figure.beside(&version, &Samples::from(megabytes(keycloak.process.memory().resident))));
    Ok(())
}

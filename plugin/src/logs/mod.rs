//! `logs`: the logs of all replicas, merged by time.

mod follow;
mod lines;

use std::collections::BTreeMap;
use std::process::ExitCode;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, ResourceExt};

use self::lines::{Line, Source, containers, open, parameters};
use crate::cli::LogsArguments;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output::Printer;
use crate::pods;

/// Prints the logs, until now or until it is interrupted.
pub async fn run(cluster: &Cluster, options: &LogsArguments, printer: &Printer) -> Result<ExitCode, Failure> {
    cluster.auth_service_as_stored(&options.name).await?;
    let labels = pods::selector_of(&options.name, options.component);
    let found: Vec<Pod> =
        cluster.list(&labels).await.map_err(|error| Failure::of_request("list the pods", &error))?;
    if found.is_empty() && !options.follow {
        return Err(Failure::Failed(format!(
            "{} has no such pods; kubectl latchkey status shows why",
            options.name
        )));
    }
    if options.follow {
        return follow::follow(cluster, options, &labels, printer).await;
    }
    merge(cluster, options, &found, printer).await
}

/// Prints all lines so far in the order of their times. Only the next line of each pod is in memory.
async fn merge(
    cluster: &Cluster,
    options: &LogsArguments,
    found: &[Pod],
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let api = cluster.api::<Pod>();
    let mut sources: Vec<(String, usize, Source)> = Vec::new();
    let mut failed = false;
    for (number, pod) in found.iter().enumerate() {
        for container in containers(pod) {
            let name = pod.name_any();
            match open(&api, &name, &parameters(options, &container)).await {
                Ok(source) => sources.push((name, number, source)),
                Err(error) => {
                    failed = true;
                    let failure = Failure::of_request(&format!("read the log of {name}"), &error);
                    printer.note(&failure.to_string());
                }
            }
        }
    }
    let mut heads: BTreeMap<usize, Line> = BTreeMap::new();
    for index in 0..sources.len() {
        next_line(&mut sources, index, &mut heads).await;
    }
    loop {
        let earliest = heads.iter().min_by_key(|(_, line)| line.at);
        let Some(index) = earliest.map(|(index, _)| *index) else { break };
        if let Some(line) = heads.remove(&index) {
            line.print(options, printer)?;
        }
        next_line(&mut sources, index, &mut heads).await;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn next_line(sources: &mut [(String, usize, Source)], index: usize, heads: &mut BTreeMap<usize, Line>) {
    let (pod, number, source) = &mut sources[index];
    if let Some(Ok(line)) = source.next().await {
        heads.insert(index, Line::new(pod, *number, &line));
    }
}

/// The last lines of a container, for the support bundle.
pub async fn read(api: &Api<Pod>, pod: &str, parameters: &LogParams) -> Result<String, kube::Error> {
    api.logs(pod, parameters).await
}

/// The names of the containers whose logs belong to Latchkey.
pub fn containers_of(pod: &Pod) -> Vec<String> {
    containers(pod)
}

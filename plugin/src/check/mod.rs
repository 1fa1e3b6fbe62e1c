//! `check`: what would fail if an AuthService were applied here. Nothing is changed.

mod dry_run;
mod findings;
mod kinds;
mod names;
mod operator;
mod permissions;
mod quantity;
mod quotas;
mod references;
mod stores;

use std::process::ExitCode;

use latchkey_crds::AuthService;

use crate::cli::CheckArguments;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::manifest::Manifest;
use crate::output::Printer;

use findings::{Findings, Outcome};

pub use operator::find as operators;

/// Checks one AuthService: of a manifest, or an existing one.
pub async fn run(
    cluster: &Cluster,
    options: &CheckArguments,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    // A wrong path needs no cluster.
    let manifest = options.filename.as_deref().map(Manifest::read).transpose()?;
    let (manifest, existing) = match (&options.name, manifest) {
        (Some(name), _) => (Manifest::default(), Some(cluster.auth_service(name).await?)),
        (None, Some(manifest)) => (manifest, None),
        (None, None) => return Err(Failure::Failed("name an AuthService or a manifest".to_owned())),
    };
    let mut all = Findings::default();
    match existing {
        Some(service) => check(cluster, &service, &manifest, options, &mut all).await,
        None => {
            for value in &manifest.services {
                let mut place = cluster.namespace.clone();
                if let Some(named) = value["metadata"]["namespace"].as_str() {
                    place = named.to_owned();
                }
                let target = cluster.in_namespace(&place);
                if let Some(service) = dry_run::manifest(&target, value, &mut all).await? {
                    check(&target, &service, &manifest, options, &mut all).await;
                }
            }
        }
    }
    match options.output {
        Some(format) => printer.structured(&all.list, format)?,
        None => printer.print(&all.render(printer))?,
    }
    Ok(if all.has(Outcome::Failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn check(
    cluster: &Cluster,
    service: &AuthService,
    manifest: &Manifest,
    options: &CheckArguments,
    findings: &mut Findings,
) {
    permissions::check(cluster, findings).await;
    operator::check(cluster, findings).await;
    kinds::check(cluster, service, findings).await;
    names::check(cluster, service, findings).await;
    references::check(cluster, service, manifest, findings).await;
    dry_run::pods(cluster, service, findings).await;
    quotas::check(cluster, service, findings).await;
    stores::check(cluster, service, !options.no_connections, findings).await;
}

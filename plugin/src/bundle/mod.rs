//! `support-bundle`: an archive with what a support request needs, without secrets.

mod archive;
mod collect;
mod known;
mod objects;
mod redact;
mod text;

use std::process::ExitCode;

use crate::cli::BundleArguments;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::lists::Listed;
use crate::output::Printer;

use archive::Archive;

const README: &str = "\
This archive was written by `kubectl latchkey support-bundle`.

versions.yaml          the versions of the plugin, the API server and the images
status/                what `kubectl latchkey status` shows
objects/               AuthServices and their objects
events.yaml            the events of the namespace
logs/                  the logs of the pods
operator/              the Deployment, the pods and the logs of the operator
errors.txt             what could not be read

Removed: the values of Secrets, of ConfigMaps except for settings that are no secrets, of environment variables, of
unknown annotations, of HTTP headers and of arguments of sidecars; logins in URLs; private keys, tokens, and values that
are called password, secret, token, key, credential or authorization. Values of the namespace's Secrets are also removed
wherever else they occur, if they have at least four characters. Read the archive before you send it.
";

/// Writes the archive.
pub async fn run(
    cluster: &Cluster,
    options: &BundleArguments,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let services = match &options.name {
        Some(name) => Listed::of(vec![cluster.auth_service_as_stored(name).await?]),
        None => cluster.auth_services(false).await?,
    };
    let path = &options.output;
    let mut archive = Archive::create(path)
        .map_err(|error| Failure::Failed(format!("{} cannot be written: {error}", path.display())))?;
    let collected = collect::collect(cluster, &services, options, &mut archive).await;
    let written = collected.and_then(|errors| {
        archive.add("README.txt", README)?;
        archive.add("errors.txt", &(errors.join("\n") + "\n"))?;
        archive.finish()?;
        Ok(errors)
    });
    let errors = match written {
        Ok(errors) => errors,
        Err(error) => {
            // An incomplete archive is of no use.
            let _ = std::fs::remove_file(path);
            return Err(Failure::Failed(format!("{} cannot be written: {error}", path.display())));
        }
    };
    printer.print(&format!("{}\n", path.display()))?;
    if !errors.is_empty() {
        printer.note(&format!(
            "{} things could not be read; errors.txt in the archive lists them.",
            errors.len()
        ));
    }
    printer.note("Secrets were removed. Read the archive before you send it.");
    Ok(ExitCode::SUCCESS)
}

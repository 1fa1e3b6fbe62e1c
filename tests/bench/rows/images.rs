//! The sizes of the container images.

use std::fs;
use std::process::Command;

use anyhow::Context;
use latchkey_tests::programs::{latchkey_operator, latchkey_server, workspace};

use crate::figure::{Figure, Target, megabytes};
use crate::progress;
use crate::results::Results;

/// Builds the images of the measured programs. An archive holds every layer uncompressed.
pub async fn sizes(results: &mut Results) -> anyhow::Result<()> {
    for (name, binary) in [("server", latchkey_server()), ("operator", latchkey_operator())] {
        progress(&format!("building the image of the {name}"));
        let mut command = Command::new(workspace().join("tests/cluster/images"));
        command.arg(name).arg("--binary").arg(binary).args(["--tag", "bench"]);
        let output = tokio::process::Command::from(command).kill_on_drop(true).output().await?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let archive = printed.lines().last().unwrap_or_default();
        let size = fs::metadata(archive)
            .with_context(|| format!("the image: {}", String::from_utf8_lossy(&output.stderr)))?
            .len();
        let figure = Figure::new(format!("image of the {name}, uncompressed"), "MB", megabytes(size));
        results.add(figure.target(Target::Under(28.0)));
    }
    Ok(())
}

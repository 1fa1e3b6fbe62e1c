//! Prints the CustomResourceDefinition, for `crds/auth_service.yaml` and the chart.

use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::io::stdout().write_all(latchkey_crds::auth_service_yaml()?.as_bytes())?;
    Ok(())
}

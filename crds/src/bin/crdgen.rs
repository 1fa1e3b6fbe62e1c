//! Prints a CustomResourceDefinition, for the files in `crds/` and the chart: that of AuthService, or with the argument
//! `auth_client` that of AuthClient.

use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = match std::env::args().nth(1).as_deref() {
        Some("auth_client") => latchkey_crds::auth_client_yaml()?,
        _ => latchkey_crds::auth_service_yaml()?,
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

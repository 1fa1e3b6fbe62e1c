//! The Latchkey auth server.

fn main() -> std::process::ExitCode {
    latchkey_server::run()
}

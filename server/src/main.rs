//! The Latchkey auth server.

/// It returns freed memory to the system, which the allocator of the C library keeps between blocks that are in use
/// (docs/development/performance-log.md). `.cargo/config.toml` configures it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    latchkey_server::run()
}

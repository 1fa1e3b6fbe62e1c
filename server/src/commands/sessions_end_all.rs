//! `latchkey-server sessions end-all`

use super::print_line;
use crate::revocation::TRUST;
use crate::store::Store;

/// Ends every session and voids every token. When it returns, no replica accepts a token that was issued before: each one
/// has queried the database since, or trusts no cache (docs/decisions/0002).
///
/// # Errors
/// The database does not answer; the command may be run again.
pub async fn end_all_sessions(store: &Store) -> anyhow::Result<()> {
    let until = store.void_all_tokens().await?;
    // Longer than a replica trusts its last sweep, and than the second in which tokens are counted.
    tokio::time::sleep(TRUST * 2).await;
    let ended = store.end_sessions_before(until).await?;
    print_line(&format!(
        "{ended} sessions have ended; no token that was issued before {} is accepted",
        until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    ))
}

//! `latchkey-server sessions end-all`

use super::print_line;
use crate::revocation::TRUST;
use crate::store::Store;

/// Ends every session and voids every token. When it returns, no replica accepts one that was issued before: each
/// has asked the database since, or believes nothing (docs/decisions/0002).
///
/// # Errors
/// The database does not answer; it may be run again.
pub async fn end_all_sessions(store: &Store) -> anyhow::Result<()> {
    let until = store.void_all_tokens().await?;
    // Longer than a replica believes what it was told, and than the second that tokens are counted in.
    tokio::time::sleep(TRUST * 2).await;
    let ended = store.end_sessions_before(until).await?;
    print_line(&format!(
        "{ended} sessions have ended; no token that was issued before {} is accepted",
        until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    ))
}

//! The command `latchkey-server sessions end-all`.

use super::print_line;
use crate::revocation::TRUST;
use crate::store::Store;

/// Ends every session and revokes every token. When it returns, no replica accepts an earlier token, because each
/// replica has queried the database since or does not trust its cache (docs/decisions/0002).
///
/// # Errors
/// The database does not respond. The command may be run again.
pub async fn end_all_sessions(store: &Store) -> anyhow::Result<()> {
    let until = store.void_all_tokens().await?;
    // Longer than a replica trusts its last sweep, and longer than the one-second resolution of `iat`.
    tokio::time::sleep(TRUST * 2).await;
    let ended = store.end_sessions_before(until).await?;
    print_line(&format!(
        "{ended} sessions ended; tokens issued before {} are no longer accepted",
        until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    ))
}

//! Reads the state after a run.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use uuid::Uuid;

use crate::admin::ROOT;
use crate::history::{Account, FinalAccount, Finals, Moment, SentMail};
use crate::replica::Replica;
use crate::world::World;

/// How long a mail may take that waits for nothing.
const DELIVERY: Duration = Duration::from_secs(6);

pub async fn read(world: &World) -> Finals {
    let databases = world.databases.lock().await;
    let mut connection = databases.direct.connect().await;
    let due = "SELECT count(*) FROM outbox WHERE dead_at IS NULL AND next_attempt_at <= now()";
    let emptied = async {
        loop {
            let waiting: i64 = sqlx::query_scalar(due).fetch_one(&mut connection).await.expect(due);
            if waiting == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    // What waits for the lease of a killed replica is still to be sent, and not lost.
    let _ = tokio::time::timeout(DELIVERY, emptied).await;

    let mut finals = Finals::default();
    let sql = "SELECT username, is_active, is_superuser, email_verified_at IS NOT NULL AS is_verified,
             EXISTS (SELECT FROM memberships WHERE user_id = users.id) AS is_auditor FROM users";
    for row in sqlx::query(sql).fetch_all(&mut connection).await.expect(sql) {
        let state = FinalAccount {
            is_active: row.get("is_active"),
            is_superuser: row.get("is_superuser"),
            is_verified: row.get("is_verified"),
            is_auditor: row.get("is_auditor"),
        };
        finals.accounts.insert(account_of(row.get("username")), state);
    }
    let sql = "SELECT id FROM sessions WHERE ended_at IS NULL
                   AND NOT EXISTS (SELECT FROM revocations WHERE session_id = sessions.id)";
    let live: Vec<Uuid> = sqlx::query_scalar(sql).fetch_all(&mut connection).await.expect(sql);
    finals.live_sessions = live.into_iter().collect();
    let sql = "SELECT session_id FROM revocations";
    let revocations: Vec<Uuid> = sqlx::query_scalar(sql).fetch_all(&mut connection).await.expect(sql);
    finals.revocations = revocations.into_iter().collect();
    let sql = "SELECT DISTINCT request_id FROM audit_events WHERE request_id LIKE 'c%'";
    let audited: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut connection).await.expect(sql);
    finals.audited = audited.iter().filter_map(|id| id[1..].parse().ok()).collect::<HashSet<_>>();
    // Before the mails that were sent: one that is sent between the two queries is in both.
    let sql = "SELECT id, kind, recipient FROM outbox WHERE dead_at IS NULL";
    for row in sqlx::query(sql).fetch_all(&mut connection).await.expect(sql) {
        let (id, kind): (i64, String) = (row.get("id"), row.get("kind"));
        finals.waiting.push(SentMail {
            at: world.recorder.now(),
            message: format!("latchkey-{kind}-{id}"),
            recipient: row.get("recipient"),
            kind,
        });
    }
    let (now, moment) = (Utc::now(), world.recorder.now());
    let received = world.mail.message_ids().await.into_iter().rev();
    finals.mails = received.filter_map(|message| sent_mail(message, now, moment)).collect();
    finals.peak_memory = world.replicas.iter().map(Replica::peak_memory).max().unwrap_or(0);
    finals
}

/// `message_id`: `latchkey-KIND-NUMBER@DOMAIN`
fn sent_mail(
    (message_id, recipient, created): (String, String, String),
    now: DateTime<Utc>,
    moment: Moment,
) -> Option<SentMail> {
    let message = message_id.trim_matches(['<', '>']).split('@').next()?.to_owned();
    let kind = message.strip_prefix("latchkey-")?.rsplit_once('-')?.0.to_owned();
    let age = (now - created.parse::<DateTime<Utc>>().ok()?).to_std().unwrap_or_default();
    Some(SentMail { at: moment.saturating_sub(age), message, recipient, kind })
}

fn account_of(username: &str) -> Account {
    username.strip_prefix("user-").and_then(|number| number.parse().ok()).unwrap_or(ROOT)
}

/// Stops the replicas and adds their log lines to the history.
pub async fn stop(world: &World, finals: &mut Finals) {
    for replica in &world.replicas {
        let logs = replica.finish().await;
        finals.bad_log_lines.extend(logs.bad);
        finals.warnings.extend(logs.warnings);
    }
}

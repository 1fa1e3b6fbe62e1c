//! Reading the audit.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::{Administrator, Store, StoreError};

/// An event as it was recorded.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct AuditEntry {
    /// Greater than that of every event recorded before.
    pub id: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What happened; a newer server may know kinds that this one does not.
    pub kind: String,
    pub outcome: String,
    /// Who did it.
    pub actor_id: Option<i64>,
    pub user_id: Option<i64>,
    pub session_id: Option<Uuid>,
    pub request_id: Option<String>,
    pub address: Option<String>,
    /// With which program, by its own word.
    pub user_agent: Option<String>,
    /// What else was recorded.
    pub detail: Value,
}

/// Which events, and how many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    pub kind: Option<String>,
    pub outcome: Option<String>,
    /// Who did it.
    pub actor_id: Option<i64>,
    pub user_id: Option<i64>,
    pub request_id: Option<String>,
    /// Not before.
    pub since: Option<DateTime<Utc>>,
    /// Before.
    pub until: Option<DateTime<Utc>>,
    /// Only those with a smaller id.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

impl Store {
    /// A page of events, newest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn list_audit(
        &self,
        query: &AuditQuery,
        administrator: &Administrator,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let mut reading = self.read_as_administrator(administrator).await?;
        let mut sql = QueryBuilder::new(
            "SELECT id, at, kind, outcome, actor_id, user_id, session_id, request_id, address, user_agent, detail
             FROM audit_events WHERE id < ",
        );
        sql.push_bind(query.before.unwrap_or(i64::MAX));
        for (column, value) in [
            (" AND kind = ", &query.kind),
            (" AND outcome = ", &query.outcome),
            (" AND request_id = ", &query.request_id),
        ] {
            if let Some(value) = value {
                sql.push(column).push_bind(value.clone());
            }
        }
        for (column, value) in [(" AND actor_id = ", query.actor_id), (" AND user_id = ", query.user_id)] {
            if let Some(value) = value {
                sql.push(column).push_bind(value);
            }
        }
        // The order is that of the ids, so a time is also turned into an id that bounds it: otherwise a search for
        // an old day would read everything since. An event's time is when its transaction began and its id is
        // given later, but within a minute.
        if let Some(since) = query.since {
            sql.push(" AND at >= ").push_bind(since);
            sql.push(" AND id > coalesce((SELECT id FROM audit_events WHERE at < ").push_bind(since);
            sql.push("::timestamptz - interval '1 minute' ORDER BY at DESC LIMIT 1), 0)");
        }
        if let Some(until) = query.until {
            sql.push(" AND at < ").push_bind(until);
            sql.push(" AND id < coalesce((SELECT id FROM audit_events WHERE at >= ").push_bind(until);
            sql.push("::timestamptz + interval '1 minute' ORDER BY at LIMIT 1), 9223372036854775807)");
        }
        sql.push(" ORDER BY id DESC LIMIT ").push_bind(query.limit);
        let found = sql.build_query_as().fetch_all(reading.connection()).await?;
        reading.finish(found).await
    }
}

//! Emitting audit events: each one is also a log line and increments a metric.

use crate::domain::AuditEvent;
use crate::metrics::Metrics;

/// Logs and counts an event that the store has already written in the transaction of the change. The span of the log
/// line carries the request id, if a request caused the event.
pub fn emit(metrics: &Metrics, event: &AuditEvent<'_>) {
    let AuditEvent { kind, outcome, actor_id, user_id, session_id, origin, detail } = event;
    metrics.count_audit_event(kind.as_str(), outcome.as_str());
    tracing::info!(
        audit = kind.as_str(),
        outcome = outcome.as_str(),
        actor_id,
        user_id,
        session_id = session_id.map(tracing::field::display),
        address = origin.map(|origin| tracing::field::display(origin.address)),
        user_agent = origin.and_then(|origin| origin.user_agent.as_deref()),
        %detail,
        "audit"
    );
}

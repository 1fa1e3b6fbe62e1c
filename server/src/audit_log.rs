//! The audit's other two faces: every event is also a log line and a count.

use crate::domain::AuditEvent;
use crate::metrics::Metrics;

/// Logs and counts an event whose row the store has written with the change. Where a request caused it, its id,
/// which ties the line to the answer, is in the span.
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

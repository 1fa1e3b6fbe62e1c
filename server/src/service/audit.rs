//! The audit's other two faces: every event is also a log line and a count.

use super::{Service, ServiceError};
use crate::domain::AuditEvent;

impl Service {
    /// Records something that changed nothing, then tells it.
    pub(super) async fn record(&self, event: &AuditEvent<'_>) -> Result<(), ServiceError> {
        self.store.record(event).await?;
        self.tell(event);
        Ok(())
    }

    /// Logs and counts an event whose row the store has written with the change. The request id, which ties the
    /// line to the answer, is in the span.
    pub(super) fn tell(&self, event: &AuditEvent<'_>) {
        let AuditEvent { kind, outcome, actor_id, user_id, session_id, origin, detail } = event;
        self.metrics.count_audit_event(kind.as_str(), outcome.as_str());
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
}

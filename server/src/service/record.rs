//! What a use case does with an audit event.

use super::{Service, ServiceError};
use crate::audit_log;
use crate::domain::AuditEvent;

impl Service {
    /// Records something that changed nothing, then tells it.
    pub(super) async fn record(&self, event: &AuditEvent<'_>) -> Result<(), ServiceError> {
        self.store.record(event).await?;
        self.emit(event);
        Ok(())
    }

    /// Logs and counts an event whose row the store has written with the change.
    pub(super) fn emit(&self, event: &AuditEvent<'_>) {
        audit_log::emit(&self.metrics, event);
    }
}

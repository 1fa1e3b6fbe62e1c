//! Recording and emitting audit events.

use super::{Service, ServiceError};
use crate::audit_log;
use crate::domain::AuditEvent;

impl Service {
    /// Writes an event that accompanies no change, then emits it.
    pub(super) async fn record(&self, event: &AuditEvent<'_>) -> Result<(), ServiceError> {
        self.store.record(event).await?;
        self.emit(event);
        Ok(())
    }

    /// Emits an event that the store has already written in the transaction of the change.
    pub(super) fn emit(&self, event: &AuditEvent<'_>) {
        audit_log::emit(&self.metrics, event);
    }
}

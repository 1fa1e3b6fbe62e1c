//! Whether this operator reconciles an AuthService now. If another one does, this one changes nothing and says so once.

use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::runtime::controller::Action;

use crate::auth_service::context::Context;
use crate::auth_service::status::{StatusError, write_claim};
use crate::cluster::observed::Observed;
use crate::responsibility::{Foreign, POLL, Responsibility, decide_responsibility};

/// The delay after the AuthService changed while it was claimed.
const OUTDATED_DELAY: Duration = Duration::from_millis(500);

/// `None` if this operator reconciles the AuthService; otherwise when to look again.
///
/// # Errors
/// When the status could not be written.
pub(crate) async fn take_charge(
    observed: &Observed,
    context: &Context,
) -> Result<Option<Action>, StatusError> {
    match decide_and_record(observed, context).await {
        Err(StatusError::Outdated) => Ok(Some(Action::requeue(OUTDATED_DELAY))),
        result => result,
    }
}

async fn decide_and_record(observed: &Observed, context: &Context) -> Result<Option<Action>, StatusError> {
    let auth_service = observed.salvaged();
    let uid = auth_service.uid().unwrap_or_default();
    let scope = &context.scope;
    let (asked, unsupported) = context.with_memory(&uid, |memory| (memory.asked, memory.claims_unsupported));
    let decision = if observed.whole().is_ok() {
        let status = context.last_status(auth_service);
        decide_responsibility(scope, auth_service, &status, asked, Instant::now())
    } else {
        // The status of an AuthService that cannot be read is not written.
        scope.foreign(auth_service).map_or(Responsibility::Own, |why| Responsibility::Leave(why, None))
    };
    match decision {
        Responsibility::Own => {}
        Responsibility::Claim if unsupported => {}
        Responsibility::Claim => {
            let stored = write_claim(auth_service, Some(&scope.identity), None, context).await?;
            if asked.is_some() {
                tracing::info!(
                    namespace = auth_service.namespace(),
                    name = auth_service.name_any(),
                    "the other operator did not answer; this operator reconciles the AuthService from now on"
                );
            }
            context.with_memory(&uid, |memory| memory.claims_unsupported = !stored);
        }
        Responsibility::Release(why) => {
            write_claim(auth_service, None, None, context).await?;
            // Another operator may change the objects from now on.
            context.with_memory(&uid, |memory| {
                let status = memory.status.take();
                *memory = crate::auth_service::context::Memory { status, ..Default::default() };
            });
            report(observed, why, context);
            return Ok(Some(Action::await_change()));
        }
        Responsibility::Leave(why, again) => {
            report(observed, why, context);
            return Ok(Some(again.map_or_else(Action::await_change, Action::requeue)));
        }
        Responsibility::Ask => {
            let operator = context.last_status(auth_service).operator;
            let stored =
                write_claim(auth_service, operator.as_deref(), Some(&scope.identity), context).await?;
            context.with_memory(&uid, |memory| memory.asked = Some(Instant::now()));
            if stored {
                report(observed, Foreign::Claimed, context);
            }
            return Ok(Some(Action::requeue(POLL)));
        }
    }
    context.with_memory(&uid, |memory| {
        memory.asked = None;
        memory.left_to = None;
    });
    Ok(None)
}

/// Logs that an AuthService is left to another operator, once.
fn report(observed: &Observed, why: Foreign, context: &Context) {
    let uid = observed.uid().unwrap_or_default();
    let known = context.with_memory(&uid, |memory| memory.left_to.replace(why));
    if known == Some(why) {
        return;
    }
    let auth_service = observed.salvaged();
    tracing::info!(
        namespace = auth_service.namespace(),
        name = auth_service.name_any(),
        reason = why.as_str(),
        operator_class = auth_service.spec.operator_class,
        reconciled_by = auth_service.status.as_ref().and_then(|status| status.operator.as_deref()),
        "another operator is responsible for this AuthService; it is left alone"
    );
}

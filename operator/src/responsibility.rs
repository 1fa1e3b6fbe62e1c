//! Which operator reconciles an AuthService: the one whose class and selector match, and of several such operators the
//! one that claimed it in the status. See `docs/decisions/0027`. Pure.

use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};
use latchkey_crds::{AuthService, AuthServiceStatus};

/// How long another operator has to answer before its AuthService is taken over. Longer than a change of the leader
/// takes.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How often the answer is awaited.
pub(crate) const POLL: Duration = Duration::from_secs(2);
/// The interval at which another operator is asked again whether it still runs.
const ASK_AGAIN: Duration = Duration::from_hours(1);

/// The AuthServices for which this operator is responsible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    /// The value of `spec.operatorClass`; `None` for those without.
    pub class: Option<String>,
    pub selector: Selector,
    /// Namespace and name of the Lease of this operator. All its replicas share it.
    pub identity: String,
}

/// Why an AuthService is left to another operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// It has another class.
    Class,
    /// The selector does not match its labels.
    Selector,
    /// Another operator of the same class reconciles it.
    Claimed,
}

impl Foreign {
    pub(crate) const ALL: [Self; 3] = [Self::Class, Self::Selector, Self::Claimed];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Selector => "selector",
            Self::Claimed => "claimed",
        }
    }
}

/// The next step for an AuthService.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Responsibility {
    /// Reconcile it.
    Own,
    /// Record in the status that this operator reconciles it, and do so.
    Claim,
    /// Remove the record, and leave it alone.
    Release(Foreign),
    /// Leave it alone.
    Leave(Foreign, Option<Duration>),
    /// Ask in the status whether the other operator still runs.
    Ask,
}

impl Scope {
    /// Why this operator is not responsible, by class and labels.
    fn mismatch(&self, auth_service: &AuthService) -> Option<Foreign> {
        if auth_service.spec.operator_class != self.class {
            return Some(Foreign::Class);
        }
        (!self.selector.matches(auth_service.labels())).then_some(Foreign::Selector)
    }

    /// Why an AuthService is left to another operator, if it is.
    pub(crate) fn foreign(&self, auth_service: &AuthService) -> Option<Foreign> {
        let claimed = auth_service.status.as_ref().and_then(|status| status.operator.as_deref());
        let by_other = claimed.is_some_and(|operator| operator != self.identity);
        self.mismatch(auth_service).or(by_other.then_some(Foreign::Claimed))
    }
}

/// Decides by the last known status. `asked`: when this process asked the other operator.
pub(crate) fn decide_responsibility(
    scope: &Scope,
    auth_service: &AuthService,
    status: &AuthServiceStatus,
    asked: Option<Instant>,
    now: Instant,
) -> Responsibility {
    let is_own = status.operator.as_ref() == Some(&scope.identity);
    if let Some(why) = scope.mismatch(auth_service) {
        return if is_own { Responsibility::Release(why) } else { Responsibility::Leave(why, None) };
    }
    if status.operator.is_none() || (is_own && status.operator_request.is_some()) {
        return Responsibility::Claim;
    }
    if is_own {
        return Responsibility::Own;
    }
    let Some(asked) = asked else { return Responsibility::Ask };
    let waited = now.duration_since(asked);
    match &status.operator_request {
        Some(by) if *by == scope.identity => {
            if waited >= ANSWER_WITHIN {
                Responsibility::Claim
            } else {
                Responsibility::Leave(Foreign::Claimed, Some(POLL))
            }
        }
        _ if waited >= ASK_AGAIN => Responsibility::Ask,
        _ => Responsibility::Leave(Foreign::Claimed, Some(ASK_AGAIN.saturating_sub(waited) + POLL)),
    }
}

#[cfg(test)]
mod tests {
    use latchkey_crds::AuthServiceSpec;

    use super::*;

    fn scope(class: Option<&str>) -> Scope {
        Scope { class: class.map(str::to_owned), selector: Selector::default(), identity: "us/op".to_owned() }
    }

    fn auth_service(class: Option<&str>, operator: Option<&str>, request: Option<&str>) -> AuthService {
        let spec = AuthServiceSpec { operator_class: class.map(str::to_owned), ..AuthServiceSpec::default() };
        let mut auth_service = AuthService::new("auth", spec);
        auth_service.status = Some(AuthServiceStatus {
            operator: operator.map(str::to_owned),
            operator_request: request.map(str::to_owned),
            ..AuthServiceStatus::default()
        });
        auth_service
    }

    fn decide(class: Option<&str>, found: &AuthService, asked: Option<u64>) -> Responsibility {
        let start = Instant::now();
        let now = start + Duration::from_secs(10_000);
        let asked = asked.map(|ago| now.checked_sub(Duration::from_secs(ago)).unwrap());
        decide_responsibility(&scope(class), found, found.status.as_ref().unwrap(), asked, now)
    }

    #[test]
    fn only_a_matching_class_is_reconciled() {
        let blue = Some("blue");
        assert_eq!(decide(None, &auth_service(None, None, None), None), Responsibility::Claim);
        assert_eq!(decide(blue, &auth_service(blue, Some("us/op"), None), None), Responsibility::Own);
        for (ours, theirs) in [(None, blue), (blue, None), (blue, Some("green"))] {
            let left = Responsibility::Leave(Foreign::Class, None);
            assert_eq!(decide(ours, &auth_service(theirs, None, None), None), left);
            assert_eq!(decide(ours, &auth_service(theirs, Some("they/op"), None), None), left);
            let released = Responsibility::Release(Foreign::Class);
            assert_eq!(decide(ours, &auth_service(theirs, Some("us/op"), None), None), released);
        }
    }

    #[test]
    fn another_operator_is_asked_and_only_replaced_if_it_does_not_answer() {
        let claimed = |request| auth_service(None, Some("they/op"), request);
        assert_eq!(decide(None, &claimed(None), None), Responsibility::Ask);
        let asked = claimed(Some("us/op"));
        assert_eq!(decide(None, &asked, Some(29)), Responsibility::Leave(Foreign::Claimed, Some(POLL)));
        assert_eq!(decide(None, &asked, Some(30)), Responsibility::Claim);
        // It answered by removing the request.
        assert!(matches!(decide(None, &claimed(None), Some(40)), Responsibility::Leave(Foreign::Claimed, _)));
        assert_eq!(decide(None, &claimed(None), Some(3600)), Responsibility::Ask);
        // And so do we.
        let ours = auth_service(None, Some("us/op"), Some("they/op"));
        assert_eq!(decide(None, &ours, None), Responsibility::Claim);
    }
}

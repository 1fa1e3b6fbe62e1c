//! The faults that the proxy between an operator and the API server can cause.

use std::time::Duration;

use latchkey_tests::control_plane::Part;
use serde_json::{Value, json};

use crate::call::{Call, Verb};
use crate::drift::Deed;

/// What goes wrong in a plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The operator is killed at its n-th write: before the write is sent, or after it was committed and before its
    /// response arrives.
    Crash { nth: usize, after: bool },
    /// The n-th call of this kind fails, and the next ones up to `times`.
    Error { of: Calls, nth: usize, times: usize, error: Failure },
    /// The watches of a resource are disturbed for this time.
    Watch { resource: &'static str, view: View, lasts: Duration },
    /// The operator is restarted, and its lists of this resource are as old as the plan's action for this time.
    OlderList { resource: &'static str, lasts: Duration },
    /// Another client changes an object of the operator.
    Drift { kind: &'static str, name: &'static str, deed: Deed },
    /// No fault: the spec changes many times, and in the end it is served like a new one.
    Walk { seed: u64 },
    /// The AuthService is deleted while the operator waits for the response to its n-th write.
    DeletedMeanwhile { nth: usize },
    /// The API server cannot be reached for this time.
    Away { lasts: Duration },
    /// The operator is suspended for this time.
    Suspended { lasts: Duration },
    /// The operator is stopped with SIGTERM after this time, and another one is started.
    Restarted { after: Duration },
    /// Two operators work without leader election.
    TwoOperators,
    /// The holder of the lease is suspended until another operator leads.
    LostLease,
    /// Another operator continues with a clock that differs by this offset for some seconds.
    ClockJump { offset: &'static str },
    /// A quota permits no object of this kind for this time.
    Quota { of: &'static str, lasts: Duration },
    /// An admission policy refuses all writes of these resources for this time.
    Refused { resource: &'static str, lasts: Duration },
    /// A part of the control plane crashes, and starts again.
    Outage { part: Part },
}

/// Which calls a fault concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    Writes,
    Reads,
    Watches,
}

impl Calls {
    pub fn contain(self, call: &Call) -> bool {
        match self {
            Self::Writes => call.writes(),
            Self::Reads => matches!(call.verb, Verb::Get | Verb::List),
            Self::Watches => call.verb == Verb::Watch,
        }
    }
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    Conflict,
    Invalid,
    TooManyRequests,
    Internal,
    GatewayTimeout,
    Gone,
    /// The connection is closed before the request is sent.
    CutBefore,
    /// The request is carried out, and the connection is closed without a response.
    CutAfter,
    /// The request is carried out, and the response ends in the middle.
    CutInside,
    /// There is no response, and the request is not sent.
    SilentBefore,
    /// There is no response, although the request is carried out.
    SilentAfter,
}

impl Failure {
    pub const ALL: [Self; 11] = [
        Self::Conflict,
        Self::Invalid,
        Self::TooManyRequests,
        Self::Internal,
        Self::GatewayTimeout,
        Self::Gone,
        Self::CutBefore,
        Self::CutAfter,
        Self::CutInside,
        Self::SilentBefore,
        Self::SilentAfter,
    ];

    /// The response of the API server, if there is one.
    pub fn response(self) -> Option<(u16, Value)> {
        let (code, reason, message) = match self {
            Self::Conflict => {
                (409, "Conflict", "the object has been modified; please apply your changes again")
            }
            Self::Invalid => {
                (422, "Invalid", "the object is invalid: spec: Invalid value: a fault of the test")
            }
            Self::TooManyRequests => (429, "TooManyRequests", "please try again later"),
            Self::Internal => (500, "InternalError", "an internal error of the test"),
            Self::GatewayTimeout => (504, "Timeout", "the request did not complete within its time"),
            Self::Gone => (410, "Expired", "too old resource version: 1 (2)"),
            _ => return None,
        };
        let details = if code == 429 { json!({"retryAfterSeconds": 1}) } else { json!({}) };
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "details": details, "code": code,
        });
        Some((code, status))
    }
}

/// What an operator sees of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Nothing; afterwards everything that was missed.
    Frozen,
    /// Every event this much later.
    Late(Duration),
    /// Every event twice.
    Duplicated,
    /// Half of the events. Afterwards the API server declares the watch as expired, so that the operator lists again.
    Skipped,
    /// The watch ends with 410 after each event.
    Expired,
    /// The connection is closed in the middle of each event, and of each list.
    Cut,
}

impl View {
    pub const ALL: [Self; 6] = [
        Self::Frozen,
        Self::Late(Duration::from_millis(700)),
        Self::Duplicated,
        Self::Skipped,
        Self::Expired,
        Self::Cut,
    ];
}

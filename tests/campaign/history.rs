//! What happened in a run: every request with its response, every fault, and the state of the stores afterwards.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::faults::Fault;

/// A time of a run: the time since its begin, by a monotonic clock.
pub type Moment = Duration;

/// The number of an account.
pub type Account = u32;

/// What was requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Register,
    VerifyEmail,
    /// With this version of the password.
    Login {
        password: u32,
    },
    /// Presents the access token of the session to an endpoint that checks it.
    Use(Endpoint),
    /// Presents this refresh token.
    Refresh {
        token: Uuid,
    },
    Logout,
    LogoutAll,
    EndSession {
        target: Uuid,
    },
    ChangePassword {
        from: u32,
        to: u32,
        keep_others: bool,
    },
    RequestReset,
    Reset {
        to: u32,
    },
    /// By an administrator, as all that follow.
    SetActive {
        active: bool,
    },
    SetSuperuser {
        superuser: bool,
    },
    EndSessions,
    ReadAudit,
    CreateGroup,
    /// Adds the account to the group whose members read the audit log, or removes it.
    SetMember {
        member: bool,
    },
    /// An OAuth client requests a token for itself with this credential.
    ClientToken {
        credential: Uuid,
    },
    /// Presents a token of an OAuth client that was issued for this credential.
    UseClientToken {
        endpoint: Endpoint,
        credential: Uuid,
    },
    /// An OAuth client authenticates with this credential and revokes one of its tokens.
    RevokeClientToken {
        token: Uuid,
        credential: Uuid,
    },
}

impl Op {
    /// The credential of an OAuth client that the request depends on.
    pub fn credential(self) -> Option<Uuid> {
        match self {
            Self::ClientToken { credential }
            | Self::UseClientToken { credential, .. }
            | Self::RevokeClientToken { credential, .. } => Some(credential),
            _ => None,
        }
    }
}

/// An endpoint that accepts or refuses an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Me,
    Verify,
    Introspect,
    Sessions,
}

/// What the client saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A complete response.
    Answered { status: u16, retry_after: bool },
    /// The connection was refused: the server has not read the request.
    NotSent,
    /// The connection ended before the response was complete: the request may have been carried out.
    Lost,
    /// No response until the client gave up.
    Silent,
}

/// A new pair of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub session: Uuid,
    pub refresh: Uuid,
}

/// A request and its response.
#[derive(Debug, Clone)]
pub struct Record {
    /// The request id is `c` and this number.
    pub id: u64,
    pub op: Op,
    /// The account that the operation is about.
    pub account: Account,
    /// The session of the presented token, or the id of the token if it is that of an OAuth client.
    pub session: Option<Uuid>,
    #[expect(dead_code, reason = "shown with a violation")]
    pub replica: usize,
    pub start: Moment,
    pub end: Moment,
    pub outcome: Outcome,
    /// Whether the response says that the presented token or password is valid, where it says anything.
    pub accepted: Option<bool>,
    pub grant: Option<Grant>,
}

impl Record {
    /// Whether the response reports success.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Answered { status: 200..=299, .. })
    }

    /// Whether the operation may have been carried out.
    pub fn may_have_happened(&self) -> bool {
        match self.outcome {
            Outcome::Answered { status, .. } => matches!(status, 200..=299 | 500..),
            Outcome::Lost | Outcome::Silent => true,
            Outcome::NotSent => false,
        }
    }

    pub fn took(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

/// The time of a fault.
#[derive(Debug, Clone)]
pub struct FaultWindow {
    pub fault: Fault,
    pub start: Moment,
    /// When it was repaired.
    pub end: Moment,
}

/// A mail that was sent, or that waits in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMail {
    /// When it was received.
    pub at: Moment,
    /// The kind and the row of the outbox, by which duplicates are recognised.
    pub message: String,
    pub recipient: String,
    /// The name of the kind, such as `password_changed`.
    pub kind: String,
}

/// An account as the database has it at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "columns of the database")]
pub struct FinalAccount {
    pub is_active: bool,
    pub is_superuser: bool,
    pub is_verified: bool,
    /// Whether it is in the group whose members read the audit log.
    pub is_auditor: bool,
}

/// A registry of OAuth clients that was written for the replicas.
#[derive(Debug, Clone)]
pub struct RegistryVersion {
    pub serial: u64,
    /// Before the file of the first replica was replaced.
    pub written: Moment,
    /// When every replica had reported this serial or a higher one, if that was observed.
    pub loaded: Option<Moment>,
    /// The ids of all credentials in it. They are never used again.
    pub credentials: HashSet<Uuid>,
}

/// The state after all faults were repaired.
#[derive(Debug, Clone, Default)]
pub struct Finals {
    pub accounts: HashMap<Account, FinalAccount>,
    /// The sessions that have not ended.
    pub live_sessions: HashSet<Uuid>,
    /// The revoked sessions and tokens of OAuth clients.
    pub revocations: HashSet<Uuid>,
    /// The ids of the requests in the audit log.
    pub audited: HashSet<u64>,
    /// What the SMTP server has received, duplicates included.
    pub mails: Vec<SentMail>,
    /// What is still to be sent.
    pub waiting: Vec<SentMail>,
    /// The most memory of a replica, in bytes.
    pub peak_memory: u64,
    /// Log lines with a panic or a secret.
    pub bad_log_lines: Vec<String>,
    /// Warnings and errors of all replicas.
    pub warnings: Vec<String>,
}

/// Everything that the checker needs.
#[derive(Debug, Default)]
pub struct History {
    pub records: Vec<Record>,
    pub faults: Vec<FaultWindow>,
    /// In the order of their serials.
    pub registries: Vec<RegistryVersion>,
    pub finals: Finals,
    /// By how much the machine stalled, by time.
    pub stalls: crate::canary::Stalls,
}

/// Collects the records of a run.
#[derive(Debug)]
pub struct Recorder {
    begun: Instant,
    records: Mutex<Vec<Record>>,
    faults: Mutex<Vec<FaultWindow>>,
    registries: Mutex<Vec<RegistryVersion>>,
    next_id: std::sync::atomic::AtomicU64,
}

impl Recorder {
    /// `first_id` is above the ids of all earlier runs that share the database.
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            records: Mutex::default(),
            faults: Mutex::default(),
            registries: Mutex::default(),
            next_id: std::sync::atomic::AtomicU64::new(1),
        }
    }

    pub fn begun(&self) -> Instant {
        self.begun
    }

    pub fn now(&self) -> Moment {
        self.begun.elapsed()
    }

    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }

    pub fn push(&self, record: Record) {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }

    pub fn push_fault(&self, window: FaultWindow) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(window);
    }

    /// Records a registry that is about to be written.
    pub fn push_registry(&self, serial: u64, credentials: HashSet<Uuid>) {
        let version = RegistryVersion { serial, written: self.now(), loaded: None, credentials };
        self.registries.lock().unwrap_or_else(PoisonError::into_inner).push(version);
    }

    /// Records that every replica has reported this serial or a higher one.
    pub fn note_loaded(&self, serial: u64) {
        let now = self.now();
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(version) = registries.iter_mut().find(|version| version.serial == serial) {
            version.loaded.get_or_insert(now);
        }
    }

    /// Takes the registries.
    pub fn take_registries(&self) -> Vec<RegistryVersion> {
        std::mem::take(&mut *self.registries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn count(&self) -> usize {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Takes the records and the faults.
    pub fn take(&self) -> (Vec<Record>, Vec<FaultWindow>) {
        let records = std::mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner));
        let faults = std::mem::take(&mut *self.faults.lock().unwrap_or_else(PoisonError::into_inner));
        (records, faults)
    }
}

//! What several checks look up: when each session began, and what ended it.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use crate::history::{Account, History, Moment, Op, Record};

/// How long the server repeats the exchange of a refresh token.
pub const GRACE: Duration = Duration::from_secs(10);

/// Lookups for the records of a history.
#[derive(Debug, Default)]
pub struct Index<'a> {
    /// The login that began each session.
    pub began: HashMap<Uuid, &'a Record>,
    /// The sessions of each account.
    pub sessions: HashMap<Account, Vec<Uuid>>,
    /// The requests that end sessions of each account, and those that end one session.
    enders: HashMap<Account, Vec<&'a Record>>,
    /// The exchanges of each refresh token that may have happened.
    pub exchanges: HashMap<Uuid, Vec<&'a Record>>,
}

impl<'a> Index<'a> {
    pub fn of(history: &'a History) -> Self {
        let mut index = Self::default();
        for record in &history.records {
            match (record.op, record.grant) {
                (Op::Login { .. }, Some(grant)) => {
                    index.began.insert(grant.session, record);
                    index.sessions.entry(record.account).or_default().push(grant.session);
                }
                (Op::Refresh { token }, _) => index.exchanges.entry(token).or_default().push(record),
                _ => {}
            }
            if ends_sessions(record.op) {
                index.enders.entry(record.account).or_default().push(record);
            }
        }
        for exchanges in index.exchanges.values_mut() {
            exchanges.sort_by_key(|record| record.start);
        }
        index
    }

    /// The requests that are to end sessions of an account, whatever became of them.
    pub fn enders(&self, account: Account) -> &[&'a Record] {
        self.enders.get(&account).map_or(&[], Vec::as_slice)
    }

    /// Whether a request is to end a session: one that began before the request was sent, or maybe at the same time.
    pub fn is_aimed_at(&self, ender: &Record, session: Uuid) -> bool {
        let Some(began) = self.began.get(&session) else { return false };
        if began.account != ender.account || began.start > ender.end {
            return false;
        }
        match ender.op {
            Op::Logout => ender.session == Some(session),
            Op::EndSession { target } => target == session,
            Op::ChangePassword { keep_others, .. } => !keep_others && ender.session != Some(session),
            Op::LogoutAll | Op::Reset { .. } | Op::SetActive { active: false } | Op::EndSessions => true,
            _ => false,
        }
    }

    /// Whether a request certainly covers a session: it began before the request was sent.
    fn covers(&self, ender: &Record, session: Uuid) -> bool {
        let began = self.began.get(&session);
        self.is_aimed_at(ender, session) && began.is_some_and(|began| began.end <= ender.start)
    }

    /// Whether the presented refresh token was certainly exchanged before the grace period of `record`.
    pub fn is_certain_reuse(&self, record: &Record, token: Uuid) -> bool {
        let earlier = self.exchanges.get(&token).into_iter().flatten();
        let mut granted = earlier.filter(|earlier| earlier.id != record.id && earlier.accepted == Some(true));
        granted.any(|earlier| earlier.end + GRACE < record.start)
    }

    /// The time of the first response that says that each session has ended.
    pub fn revoked(&self, history: &History) -> HashMap<Uuid, (Moment, &'a Record)> {
        let mut revoked: HashMap<Uuid, (Moment, &'a Record)> = HashMap::new();
        let mut end = |session, record: &'a Record| {
            let entry = revoked.entry(session).or_insert((record.end, record));
            if record.end < entry.0 {
                *entry = (record.end, record);
            }
        };
        for (account, enders) in &self.enders {
            for ender in enders.iter().filter(|ender| ender.is_acknowledged()) {
                let sessions = self.sessions.get(account).into_iter().flatten();
                sessions
                    .filter(|session| self.covers(ender, **session))
                    .for_each(|session| end(*session, ender));
            }
        }
        let _ = history;
        for (token, exchanges) in &self.exchanges {
            for record in exchanges.iter().filter(|record| record.accepted == Some(false)) {
                // The response says that the session is over, whether as theft or before.
                if let Some(session) = record.session.filter(|_| self.is_certain_reuse(record, *token)) {
                    end(session, record);
                }
            }
        }
        revoked
    }
}

fn ends_sessions(op: Op) -> bool {
    matches!(
        op,
        Op::Logout
            | Op::LogoutAll
            | Op::EndSession { .. }
            | Op::ChangePassword { keep_others: false, .. }
            | Op::Reset { .. }
            | Op::SetActive { active: false }
            | Op::EndSessions
    )
}

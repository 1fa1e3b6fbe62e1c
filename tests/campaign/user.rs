//! A simulated user: one account, its password and its sessions.

use std::time::{Duration, Instant};

use latchkey_tests::app::path;
use latchkey_tests::logs::SECRET_MARK;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::{Client, Reply, Tokens};
use crate::history::{Account, Endpoint, Op};

/// The longest that the server repeats the exchange of a refresh token.
const GRACE: Duration = Duration::from_secs(10);
/// How many tokens of ended sessions a user tries again later.
const REMEMBERED: usize = 12;

/// A session that the user has not ended.
#[derive(Debug)]
struct Session {
    tokens: Tokens,
    /// The refresh tokens that were exchanged, and when: the oldest and the newest.
    exchanged: Vec<(Tokens, Instant)>,
    /// When an exchange of the current refresh token was first attempted.
    attempted: Option<Instant>,
}

/// A user and what it knows.
pub struct User {
    pub account: Account,
    client: Client,
    /// The versions of the password that may be right, the most likely one first.
    versions: Vec<u32>,
    next_version: u32,
    sessions: Vec<Session>,
    ended: Vec<(Uuid, String)>,
}

pub fn username(account: Account) -> String {
    format!("user-{account}")
}

pub fn email(account: Account) -> String {
    format!("user-{account}@example.test")
}

pub fn password(account: Account, version: u32) -> String {
    format!("{SECRET_MARK} {account} phrase {version}")
}

/// The body that registers or creates the account.
pub fn body(account: Account) -> Value {
    json!({
        "username": username(account), "email": email(account), "name": "John Doe",
        "password": password(account, 1),
    })
}

impl User {
    pub fn new(account: Account, client: Client) -> Self {
        Self { account, client, versions: vec![1], next_version: 2, sessions: Vec::new(), ended: Vec::new() }
    }

    /// Registers the account and verifies its address. Whether that succeeded before `stop`.
    pub async fn register(&mut self, stop: &CancellationToken) -> bool {
        let body = body(self.account);
        while !stop.is_cancelled() {
            let reply = self.client.register(self.account, &body).await;
            // A registration that was repeated sends another mail, which says that the name is taken.
            if reply.ok() {
                break;
            }
            pause(500).await;
        }
        while !stop.is_cancelled() {
            if let Some(token) = self.newest_token().await {
                let reply = self.client.verify_email(self.account, &token).await;
                // 422: an attempt without a response has used the token.
                if reply.ok() || reply.status() == 422 {
                    return true;
                }
            }
            pause(300).await;
        }
        false
    }

    /// The token of the newest mail with a link.
    async fn newest_token(&self) -> Option<String> {
        let mail = self.client.world.mail.newest_to(&email(self.account)).await?;
        mail.text().contains("token=").then(|| mail.token())
    }

    /// Uses the account until `stop`.
    pub async fn live(mut self, stop: CancellationToken, pace: Duration) -> Self {
        while !stop.is_cancelled() {
            let think = self.client.random.between(pace / 2, pace * 2);
            tokio::time::sleep(think).await;
            if self.sessions.is_empty() || (self.sessions.len() < 3 && self.client.random.happens(5)) {
                self.log_in().await;
                continue;
            }
            match self.client.random.below(1000) {
                0..560 => self.use_session().await,
                560..700 => self.probe_ended().await,
                700..860 => self.refresh().await,
                860..920 => self.present_exchanged_token().await,
                920..945 => self.log_out().await,
                945..950 => self.log_out_everywhere().await,
                950..970 => self.end_another_session().await,
                970..980 => self.change_password().await,
                980..985 => self.reset_password(&stop).await,
                _ => self.refresh_twice_at_once().await,
            }
        }
        self
    }

    fn pick(&mut self) -> usize {
        self.client.random.below(self.sessions.len())
    }

    pub async fn log_in(&mut self) -> bool {
        let names = [username(self.account), email(self.account)];
        let name = self.client.random.pick(&names).clone();
        for version in self.versions.clone() {
            let reply =
                self.client.log_in(self.account, (&name, &password(self.account, version)), version).await;
            if let Some(tokens) = reply.tokens() {
                // The others were not stored.
                self.versions = vec![version];
                self.client.world.enter(self.account, tokens.session, &tokens.access);
                self.sessions.push(Session { tokens, exchanged: Vec::new(), attempted: None });
                return true;
            }
            if reply.record.accepted.is_none() {
                return false;
            }
        }
        false
    }

    /// Forgets a session that the server has refused, or that the user has ended.
    fn forget(&mut self, session: Uuid) {
        if let Some(at) = self.sessions.iter().position(|known| known.tokens.session == session) {
            let ended = self.sessions.remove(at);
            self.remember_ended(session, ended.tokens.access);
        }
    }

    fn remember_ended(&mut self, session: Uuid, access: String) {
        if self.ended.len() >= REMEMBERED {
            self.ended.remove(0);
        }
        self.ended.push((session, access));
    }

    fn forget_if_refused(&mut self, reply: &Reply, session: Uuid) {
        if reply.record.accepted == Some(false) {
            self.forget(session);
        }
    }

    async fn use_session(&mut self) {
        let at = self.pick();
        let tokens = self.sessions[at].tokens.clone();
        let endpoints =
            [Endpoint::Me, Endpoint::Me, Endpoint::Verify, Endpoint::Introspect, Endpoint::Sessions];
        let endpoint = *self.client.random.pick(&endpoints);
        let token = (tokens.session, tokens.access.as_str());
        let reply = self.client.present(endpoint, None, self.account, token).await;
        self.forget_if_refused(&reply, tokens.session);
    }

    async fn refresh_twice_at_once(&mut self) {
        let at = self.pick();
        let tokens = self.sessions[at].tokens.clone();
        let (mut one, mut other) = (self.client.fork(1), self.client.fork(2));
        let (first, second) =
            tokio::join!(one.refresh(self.account, &tokens), other.refresh(self.account, &tokens));
        self.take_refreshed(at, &first);
        if self.sessions.get(at).is_some_and(|session| session.tokens.session == tokens.session) {
            self.take_refreshed(at, &second);
        }
        self.client.random = self.client.random.derive(3);
    }

    async fn probe_ended(&mut self) {
        if self.ended.is_empty() {
            return;
        }
        let (session, access) = self.client.random.pick(&self.ended).clone();
        let endpoint = *self.client.random.pick(&[Endpoint::Me, Endpoint::Verify, Endpoint::Introspect]);
        self.client.present(endpoint, None, self.account, (session, &access)).await;
    }

    async fn refresh(&mut self) {
        let at = self.pick();
        let tokens = self.sessions[at].tokens.clone();
        self.sessions[at].attempted.get_or_insert_with(Instant::now);
        let reply = self.client.refresh(self.account, &tokens).await;
        self.take_refreshed(at, &reply);
        // A client that got no response asks again at once, as the grace period intends.
        let mut pauses = 0;
        while pauses < 8 && self.sessions.get(at).is_some_and(|session| session.attempted.is_some()) {
            if self.sessions[at].tokens.session != tokens.session {
                return;
            }
            pauses += 1;
            pause(400).await;
            let reply = self.client.refresh(self.account, &tokens).await;
            self.take_refreshed(at, &reply);
        }
    }

    fn take_refreshed(&mut self, at: usize, reply: &Reply) {
        let Some(session) = self.sessions.get_mut(at) else { return };
        if let Some(tokens) = reply.tokens() {
            self.client.world.enter(self.account, tokens.session, &tokens.access);
            if tokens.refresh_id != session.tokens.refresh_id {
                let old = std::mem::replace(&mut session.tokens, tokens);
                session.exchanged.truncate(1);
                session.exchanged.push((old, Instant::now()));
            }
            session.attempted = None;
        } else if reply.record.accepted == Some(false) {
            let session = session.tokens.session;
            self.forget(session);
        }
    }

    /// What a thief would do: presents a refresh token that was exchanged.
    async fn present_exchanged_token(&mut self) {
        let at = self.pick();
        let session = &self.sessions[at];
        if session.exchanged.is_empty() {
            return;
        }
        let (old, exchanged) = self.client.random.pick(&session.exchanged).clone();
        let (id, access) = (session.tokens.session, session.tokens.access.clone());
        let is_in_grace = exchanged.elapsed() < GRACE;
        let reply = self.client.refresh(self.account, &old).await;
        if is_in_grace {
            // The response has the current tokens.
            self.take_refreshed(at, &reply);
        } else if reply.status() == 401 {
            self.forget(id);
            self.client.probe_everywhere(self.account, (id, &access)).await;
        }
    }

    async fn log_out(&mut self) {
        let at = self.pick();
        let tokens = self.sessions[at].tokens.clone();
        let reply =
            self.client.act((Method::POST, path::LOGOUT), Op::Logout, self.account, &tokens, None).await;
        if reply.ok() {
            self.forget(tokens.session);
            self.client.probe_everywhere(self.account, (tokens.session, &tokens.access)).await;
        }
        self.forget_if_refused(&reply, tokens.session);
    }

    async fn log_out_everywhere(&mut self) {
        let at = self.pick();
        let tokens = self.sessions[at].tokens.clone();
        let reply = self
            .client
            .act((Method::POST, path::LOGOUT_ALL), Op::LogoutAll, self.account, &tokens, None)
            .await;
        if reply.ok() {
            self.end_all_but(None).await;
        }
        self.forget_if_refused(&reply, tokens.session);
    }

    /// Probes and forgets the sessions that the server has just ended.
    async fn end_all_but(&mut self, kept: Option<Uuid>) {
        let ended: Vec<_> =
            self.sessions.iter().map(|s| &s.tokens).filter(|t| Some(t.session) != kept).cloned().collect();
        for tokens in ended {
            self.client.probe_everywhere(self.account, (tokens.session, &tokens.access)).await;
            self.forget(tokens.session);
        }
    }

    async fn end_another_session(&mut self) {
        if self.sessions.len() < 2 {
            return;
        }
        let (by, target) = (self.sessions[0].tokens.clone(), self.sessions[1].tokens.clone());
        let path = format!("{}/{}", path::SESSIONS, target.session);
        let op = Op::EndSession { target: target.session };
        let reply = self.client.act((Method::DELETE, &path), op, self.account, &by, None).await;
        if reply.ok() {
            self.forget(target.session);
            self.client.probe_everywhere(self.account, (target.session, &target.access)).await;
        }
        self.forget_if_refused(&reply, by.session);
    }

    async fn change_password(&mut self) {
        let at = self.pick();
        let tokens = self.sessions[at].tokens.clone();
        let (from, to) = (self.versions[0], self.next_version);
        let keep_others = self.client.random.happens(30);
        self.next_version += 1;
        let body = json!({
            "current_password": password(self.account, from), "new_password": password(self.account, to),
            "keep_other_sessions": keep_others,
        });
        let op = Op::ChangePassword { from, to, keep_others };
        let request = (Method::POST, path::MY_PASSWORD);
        let reply = self.client.act(request, op, self.account, &tokens, Some(&body)).await;
        self.note_new_password(&reply, to);
        if reply.ok() && !keep_others {
            self.end_all_but(Some(tokens.session)).await;
        }
        self.forget_if_refused(&reply, tokens.session);
    }

    fn note_new_password(&mut self, reply: &Reply, version: u32) {
        if reply.ok() {
            self.versions = vec![version];
        } else if reply.record.may_have_happened() {
            self.versions.insert(0, version);
        }
    }

    async fn reset_password(&mut self, stop: &CancellationToken) {
        let before = self.newest_token().await;
        let path = format!("{}/{}", path::RECOVERY, email(self.account));
        let reply = self.client.ask(&path, Op::RequestReset, self.account, &json!({})).await;
        if !reply.ok() {
            return;
        }
        let deadline = Instant::now() + Duration::from_secs(8);
        while Instant::now() < deadline && !stop.is_cancelled() {
            let token = self.newest_token().await;
            if token.is_some() && token != before {
                let to = self.next_version;
                self.next_version += 1;
                let body = json!({ "token": token, "new_password": password(self.account, to) });
                let reply = self.client.ask(path::RESET, Op::Reset { to }, self.account, &body).await;
                self.note_new_password(&reply, to);
                if reply.ok() {
                    self.end_all_but(None).await;
                }
                return;
            }
            pause(200).await;
        }
    }

    /// Uses everything once more after all faults were repaired.
    pub async fn check_finally(&mut self) {
        for (session, access) in self.ended.clone() {
            self.client.present(Endpoint::Me, None, self.account, (session, &access)).await;
        }
        for at in 0..self.sessions.len() {
            let tokens = self.sessions[at].tokens.clone();
            self.client.present(Endpoint::Me, None, self.account, (tokens.session, &tokens.access)).await;
        }
        self.log_in().await;
    }
}

pub async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

//! The administrators: they deactivate accounts, end sessions, read the audit log, and grant and withdraw privileges.

use latchkey_tests::app::{SUPERUSER, path, superuser_password};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Tokens};
use crate::history::{Account, Op};
use crate::user::{body, pause, username};

/// The account of the first superuser.
pub const ROOT: Account = 0;
const AUDIT: &str = "/api/v1/audit?limit=5";
/// The group whose members read the audit log.
const AUDITORS: &str = "auditors";

/// The first superuser.
pub struct Administrator {
    client: Client,
    tokens: Option<Tokens>,
    /// The ids of the accounts in the database.
    ids: Vec<(Account, i64)>,
    deputy: Option<(Account, i64)>,
}

impl Administrator {
    pub fn new(client: Client) -> Self {
        Self { client, tokens: None, ids: Vec::new(), deputy: None }
    }

    async fn tokens(&mut self) -> Option<Tokens> {
        if self.tokens.is_none() {
            let login = (SUPERUSER, &*superuser_password());
            self.tokens = self.client.log_in(ROOT, login, 1).await.tokens();
        }
        self.tokens.clone()
    }

    async fn act(
        &mut self,
        method: Method,
        path: &str,
        op: Op,
        account: Account,
        body: Option<&Value>,
    ) -> (bool, Value) {
        let Some(tokens) = self.tokens().await else { return (false, Value::Null) };
        let reply = self.client.act((method, path), op, account, &tokens, body).await;
        if reply.record.accepted == Some(false) {
            self.tokens = None;
        }
        (reply.ok(), reply.body)
    }

    /// Creates the accounts, before any fault. The last one is the deputy's.
    pub async fn create(&mut self, accounts: &[Account]) {
        for account in accounts {
            for _ in 0..20 {
                let (_, reply) =
                    self.act(Method::POST, path::USERS, Op::Register, *account, Some(&body(*account))).await;
                if let Some(id) = reply["id"].as_i64() {
                    self.ids.push((*account, id));
                    break;
                }
                pause(200).await;
            }
        }
        self.deputy = self.ids.pop();
        let group = json!({ "name": AUDITORS, "permissions": ["audit.read"] });
        self.act(Method::POST, path::GROUPS, Op::CreateGroup, ROOT, Some(&group)).await;
    }

    /// Administers until `stop`. Leaves all accounts active.
    pub async fn live(mut self, stop: CancellationToken) -> Self {
        let mut turn = 0;
        while !stop.is_cancelled() {
            pause(150).await;
            turn += 1;
            let Some((account, id)) = (!self.ids.is_empty()).then(|| *self.client.random.pick(&self.ids))
            else {
                continue;
            };
            match turn % 4 {
                0 => self.deactivate(account, id).await,
                1 => self.end_sessions(account, id).await,
                2 => {
                    self.act(Method::GET, AUDIT, Op::ReadAudit, ROOT, None).await;
                }
                _ => self.test_deputy().await,
            }
        }
        self
    }

    async fn set(&mut self, (account, id): (Account, i64), op: Op, change: Value) -> bool {
        self.act(Method::PATCH, &format!("{}/{id}", path::USERS), op, account, Some(&change)).await.0
    }

    async fn deactivate(&mut self, account: Account, id: i64) {
        let known = self.client.world.known(account);
        if self.set((account, id), Op::SetActive { active: false }, json!({ "is_active": false })).await {
            for known in known {
                self.client.probe_everywhere(account, (known.session, &known.access)).await;
            }
        }
        self.activate(account, id).await;
    }

    async fn activate(&mut self, account: Account, id: i64) {
        for _ in 0..400 {
            if self.set((account, id), Op::SetActive { active: true }, json!({ "is_active": true })).await {
                return;
            }
            pause(250).await;
        }
    }

    async fn end_sessions(&mut self, account: Account, id: i64) {
        let known = self.client.world.known(account);
        let path = format!("{}/{id}/sessions", path::USERS);
        if self.act(Method::DELETE, &path, Op::EndSessions, account, None).await.0 {
            for known in known {
                self.client.probe_everywhere(account, (known.session, &known.access)).await;
            }
        }
    }

    /// Makes an account a superuser or a member of the auditors for a moment. Afterwards no replica lets it read the
    /// audit log.
    async fn test_deputy(&mut self) {
        let Some((account, id)) = self.deputy else { return };
        let login = (username(account), crate::user::password(account, 1));
        let Some(tokens) = self.client.log_in(account, (&login.0, &login.1), 1).await.tokens() else {
            return;
        };
        let by_group = self.client.random.happens(50);
        if self.promote((account, id), by_group, true).await {
            self.client.act((Method::GET, AUDIT), Op::ReadAudit, account, &tokens, None).await;
        }
        for _ in 0..400 {
            if self.promote((account, id), by_group, false).await {
                break;
            }
            pause(250).await;
        }
        for _ in 0..self.client.world.replicas.len() {
            self.client.act((Method::GET, AUDIT), Op::ReadAudit, account, &tokens, None).await;
        }
        self.client.act((Method::POST, path::LOGOUT), Op::Logout, account, &tokens, None).await;
    }

    /// Grants the privilege to read the audit log, or withdraws it.
    async fn promote(&mut self, (account, id): (Account, i64), by_group: bool, grant: bool) -> bool {
        if !by_group {
            let change = json!({ "is_superuser": grant });
            return self.set((account, id), Op::SetSuperuser { superuser: grant }, change).await;
        }
        let path = format!("{}/{AUDITORS}/members/{id}", path::GROUPS);
        let method = if grant { Method::PUT } else { Method::DELETE };
        self.act(method, &path, Op::SetMember { member: grant }, account, None).await.0
    }
}

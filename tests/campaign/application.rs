//! A simulated application: an OAuth client that gets tokens for itself, uses them and revokes them.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::history::Account;
use crate::world::ClientToken;

/// The number of the first OAuth client; accounts of people have lower numbers.
const FIRST: Account = 1_000_000;
const CLIENTS: Account = 4;
/// How many tokens that were refused or revoked an application tries again later.
const REMEMBERED: usize = 12;
/// How many tokens an application uses.
const MOST_TOKENS: usize = 8;
/// A replica whose clock is 15 s behind issues tokens that seem older than the new database.
const CLOCK_BEHIND: Duration = Duration::from_secs(17);

/// The numbers of all OAuth clients.
pub fn accounts() -> impl Iterator<Item = Account> {
    FIRST..FIRST + CLIENTS
}

/// The client id.
pub fn client_id(account: Account) -> String {
    format!("application-{account}")
}

/// An application and what it knows beside [`crate::world::KnownClient`].
pub struct Application {
    account: Account,
    id: String,
    client: Client,
    ended: Vec<ClientToken>,
}

impl Application {
    pub fn new(account: Account, client: Client) -> Self {
        Self { account, id: client_id(account), client, ended: Vec::new() }
    }

    /// Uses the client until `stop`.
    pub async fn live(mut self, stop: CancellationToken, pace: Duration) -> Self {
        let begun = self.client.world.recorder.begun();
        tokio::time::sleep(CLOCK_BEHIND.saturating_sub(begun.elapsed())).await;
        while !stop.is_cancelled() {
            let think = self.client.random.between(pace / 2, pace * 2);
            tokio::time::sleep(think).await;
            match self.client.random.below(100) {
                0..20 => self.get_token().await,
                20..80 => self.use_token().await,
                80..88 => self.revoke_token().await,
                _ => self.probe_ended().await,
            }
        }
        self
    }

    async fn get_token(&mut self) {
        let known = self.client.world.client(self.account);
        if known.credentials.is_empty() {
            return;
        }
        let credential = self.client.random.pick(&known.credentials).clone();
        let reply = self.client.request_client_token(None, (self.account, &self.id), &credential).await;
        let Some(token) = reply.client_token() else { return };
        assert_eq!(token.credential, credential.id, "the token names another credential");
        self.client.world.change_client(self.account, |known| {
            if known.tokens.len() >= MOST_TOKENS {
                known.tokens.remove(0);
            }
            known.tokens.push(token);
        });
    }

    fn pick_token(&mut self) -> Option<ClientToken> {
        let tokens = self.client.world.client(self.account).tokens;
        (!tokens.is_empty()).then(|| self.client.random.pick(&tokens).clone())
    }

    async fn use_token(&mut self) {
        let Some(token) = self.pick_token() else { return };
        let reply = self.client.present_of_client(None, self.account, &token).await;
        if reply.record.accepted == Some(false) {
            self.forget(token);
        }
    }

    async fn revoke_token(&mut self) {
        let Some(token) = self.pick_token() else { return };
        let credentials = self.client.world.client(self.account).credentials;
        if credentials.is_empty() {
            return;
        }
        let credential = self.client.random.pick(&credentials).clone();
        let reply = self.client.revoke_client_token((self.account, &self.id), &credential, &token).await;
        if reply.ok() {
            let tokens = [token.clone()];
            self.client.probe_client_everywhere((self.account, &self.id), &tokens, &[]).await;
            self.forget(token);
        }
    }

    /// Presents a token again that was revoked or refused.
    async fn probe_ended(&mut self) {
        if self.ended.is_empty() {
            return;
        }
        let token = self.client.random.pick(&self.ended).clone();
        self.client.present_of_client(None, self.account, &token).await;
    }

    fn forget(&mut self, token: ClientToken) {
        self.client.world.change_client(self.account, |known| {
            known.tokens.retain(|other| other.id != token.id);
        });
        if self.ended.len() >= REMEMBERED {
            self.ended.remove(0);
        }
        self.ended.push(token);
    }

    /// Uses everything once more after all faults were repaired.
    pub async fn check_finally(mut self) {
        for token in self.ended.clone() {
            self.client.present_of_client(None, self.account, &token).await;
        }
        for token in self.client.world.client(self.account).tokens {
            self.client.present_of_client(None, self.account, &token).await;
        }
        self.get_token().await;
    }
}

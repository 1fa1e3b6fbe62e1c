//! Sends requests and records them.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_tests::app::path;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::history::{Account, Endpoint, Grant, Op, Outcome, Record};
use crate::random::Random;
use crate::world::{CLIENT, ClientToken, Credential, World, client_secret};

/// When a client gives up. Far above the limit of 5 s, so that the record has the true duration of a late response.
const GIVE_UP: Duration = Duration::from_secs(15);

/// A client that chooses a replica for each request.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    pub world: Arc<World>,
    pub random: Random,
}

/// The tokens of a session.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub session: Uuid,
    pub access: String,
    pub refresh: String,
    pub refresh_id: Uuid,
}

/// A recorded request, and its body.
#[derive(Debug)]
pub struct Reply {
    pub record: Record,
    pub body: Value,
}

impl Reply {
    pub fn ok(&self) -> bool {
        self.record.is_acknowledged()
    }

    pub fn status(&self) -> u16 {
        match self.record.outcome {
            Outcome::Answered { status, .. } => status,
            _ => 0,
        }
    }

    /// The tokens in the body.
    pub fn tokens(&self) -> Option<Tokens> {
        tokens_in(&self.body)
    }

    /// The token of an OAuth client in the body.
    pub fn client_token(&self) -> Option<ClientToken> {
        client_token_in(&self.body)
    }
}

fn client_token_in(body: &Value) -> Option<ClientToken> {
    let access = body["access_token"].as_str()?.to_owned();
    let claims = claims(&access)?;
    let id = |name: &str| claims[name].as_str()?.parse().ok();
    Some(ClientToken { id: id("jti")?, credential: id("cred")?, access })
}

fn tokens_in(body: &Value) -> Option<Tokens> {
    let access = body["access_token"]["token"].as_str()?.to_owned();
    let refresh = body["refresh_token"]["token"].as_str()?.to_owned();
    let claims = claims(&refresh)?;
    let id = |name: &str| claims[name].as_str()?.parse().ok();
    Some(Tokens { session: id("sid")?, refresh_id: id("jti")?, access, refresh })
}

fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// A request before it is sent.
pub struct Prepared {
    replica: usize,
    builder: RequestBuilder,
    op: Op,
    account: Account,
    session: Option<Uuid>,
}

impl Client {
    pub fn new(world: Arc<World>, random: Random) -> Self {
        let http = reqwest::Client::builder()
            .timeout(GIVE_UP)
            .pool_idle_timeout(Duration::from_secs(20))
            .build()
            .expect("an HTTP client");
        Self { http, world, random }
    }

    /// Another client with the same connections.
    #[must_use]
    pub fn fork(&self, number: u64) -> Self {
        Self { http: self.http.clone(), world: Arc::clone(&self.world), random: self.random.derive(number) }
    }

    fn prepare(&mut self, method: Method, path: &str, op: Op, account: Account) -> Prepared {
        let replica = self.world.choose_replica(&mut self.random);
        self.prepare_at(replica, method, path, op, account)
    }

    fn prepare_at(&self, replica: usize, method: Method, path: &str, op: Op, account: Account) -> Prepared {
        let port = self.world.replicas[replica].proxy.port();
        let builder = self.http.request(method, format!("http://127.0.0.1:{port}{path}"));
        Prepared { replica, builder, op, account, session: None }
    }

    async fn send(&self, prepared: Prepared) -> Reply {
        let recorder = &self.world.recorder;
        let Prepared { replica, builder, op, account, session } = prepared;
        let id = recorder.next_id();
        let start = recorder.now();
        let (outcome, body) = answer(builder.header("x-request-id", format!("c{id}"))).await;
        let end = recorder.now();
        let status = match outcome {
            Outcome::Answered { status, .. } => status,
            _ => 0,
        };
        let grant = matches!(op, Op::Login { .. } | Op::Refresh { .. })
            .then(|| tokens_in(&body))
            .flatten()
            .map(|tokens| Grant { session: tokens.session, refresh: tokens.refresh_id });
        let accepted = match (op, status) {
            (
                Op::Use(Endpoint::Introspect) | Op::UseClientToken { endpoint: Endpoint::Introspect, .. },
                status,
            ) => body["active"].as_bool().filter(|_| status == 200),
            (Op::Login { .. }, 400..=403) | (_, 401) => Some(false),
            (_, 200..=299) => Some(true),
            _ => None,
        };
        let issued = matches!(op, Op::ClientToken { .. }).then(|| client_token_in(&body)).flatten();
        let session = session.or(grant.map(|grant| grant.session)).or(issued.map(|token| token.id));
        let record = Record { id, op, account, session, replica, start, end, outcome, accepted, grant };
        recorder.push(record.clone());
        Reply { record, body }
    }

    pub async fn register(&mut self, account: Account, user: &Value) -> Reply {
        let prepared = self.prepare(Method::POST, path::REGISTER, Op::Register, account);
        self.send(Prepared { builder: prepared.builder.json(user), ..prepared }).await
    }

    pub async fn verify_email(&mut self, account: Account, token: &str) -> Reply {
        let prepared = self.prepare(Method::POST, path::VERIFY_EMAIL, Op::VerifyEmail, account);
        self.send(Prepared { builder: prepared.builder.json(&json!({ "token": token })), ..prepared }).await
    }

    pub async fn log_in(&mut self, account: Account, (name, password): (&str, &str), version: u32) -> Reply {
        let op = Op::Login { password: version };
        let prepared = self.prepare(Method::POST, path::LOGIN, op, account);
        let form = [("username", name), ("password", password)];
        self.send(Prepared { builder: prepared.builder.form(&form), ..prepared }).await
    }

    /// Presents an access token at a replica, or at any.
    pub async fn present(
        &mut self,
        endpoint: Endpoint,
        replica: Option<usize>,
        account: Account,
        (session, access): (Uuid, &str),
    ) -> Reply {
        let replica = replica.unwrap_or_else(|| self.world.choose_replica(&mut self.random));
        let prepared = self.presented((endpoint, replica), Op::Use(endpoint), account, access);
        self.send(Prepared { session: Some(session), ..prepared }).await
    }

    fn presented(
        &self,
        (endpoint, replica): (Endpoint, usize),
        op: Op,
        account: Account,
        access: &str,
    ) -> Prepared {
        let (method, path) = match endpoint {
            Endpoint::Me => (Method::GET, path::ME),
            Endpoint::Verify => (Method::GET, path::VERIFY),
            Endpoint::Sessions => (Method::GET, path::SESSIONS),
            Endpoint::Introspect => (Method::POST, path::INTROSPECT),
        };
        let prepared = self.prepare_at(replica, method, path, op, account);
        let builder = prepared.builder;
        let builder = if endpoint == Endpoint::Introspect {
            builder.basic_auth(CLIENT, Some(client_secret())).form(&[("token", access)])
        } else {
            builder.bearer_auth(access)
        };
        Prepared { builder, ..prepared }
    }

    /// Requests a token of an OAuth client for itself, at a replica or at any.
    pub async fn request_client_token(
        &mut self,
        replica: Option<usize>,
        (account, id): (Account, &str),
        credential: &Credential,
    ) -> Reply {
        let replica = replica.unwrap_or_else(|| self.world.choose_replica(&mut self.random));
        let op = Op::ClientToken { credential: credential.id };
        let prepared = self.prepare_at(replica, Method::POST, path::TOKEN, op, account);
        let builder = prepared.builder.basic_auth(id, Some(&credential.secret));
        let builder = builder.form(&[("grant_type", "client_credentials")]);
        self.send(Prepared { builder, ..prepared }).await
    }

    /// Presents a token of an OAuth client at a replica, or at any.
    pub async fn present_of_client(
        &mut self,
        replica: Option<usize>,
        account: Account,
        token: &ClientToken,
    ) -> Reply {
        let replica = replica.unwrap_or_else(|| self.world.choose_replica(&mut self.random));
        let endpoint = *self.random.pick(&[Endpoint::Verify, Endpoint::Introspect]);
        let op = Op::UseClientToken { endpoint, credential: token.credential };
        let prepared = self.presented((endpoint, replica), op, account, &token.access);
        self.send(Prepared { session: Some(token.id), ..prepared }).await
    }

    /// An OAuth client revokes one of its tokens.
    pub async fn revoke_client_token(
        &mut self,
        (account, id): (Account, &str),
        credential: &Credential,
        token: &ClientToken,
    ) -> Reply {
        let op = Op::RevokeClientToken { token: token.id, credential: credential.id };
        let prepared = self.prepare(Method::POST, path::REVOKE, op, account);
        let builder = prepared.builder.basic_auth(id, Some(&credential.secret));
        let builder = builder.form(&[("token", token.access.as_str())]);
        self.send(Prepared { builder, session: Some(token.id), ..prepared }).await
    }

    pub async fn refresh(&mut self, account: Account, tokens: &Tokens) -> Reply {
        let op = Op::Refresh { token: tokens.refresh_id };
        let prepared = self.prepare(Method::POST, path::REFRESH, op, account);
        let builder = prepared.builder.bearer_auth(&tokens.access).json(&json!({ "token": tokens.refresh }));
        self.send(Prepared { builder, session: Some(tokens.session), ..prepared }).await
    }

    /// A request of the session's owner without a body, or with one.
    pub async fn act(
        &mut self,
        (method, path): (Method, &str),
        op: Op,
        account: Account,
        tokens: &Tokens,
        body: Option<&Value>,
    ) -> Reply {
        let prepared = self.prepare(method, path, op, account);
        let builder = prepared.builder.bearer_auth(&tokens.access);
        let builder = match body {
            Some(body) => builder.json(body),
            None => builder,
        };
        self.send(Prepared { builder, session: Some(tokens.session), ..prepared }).await
    }

    /// A request without a token.
    pub async fn ask(&mut self, path: &str, op: Op, account: Account, body: &Value) -> Reply {
        let prepared = self.prepare(Method::POST, path, op, account);
        self.send(Prepared { builder: prepared.builder.json(body), ..prepared }).await
    }

    fn ready_replicas(&self) -> Vec<usize> {
        (0..self.world.replicas.len()).filter(|number| self.world.replicas[*number].is_ready()).collect()
    }

    /// Presents tokens and secrets of an OAuth client, which are to be refused, to every replica that takes requests.
    pub async fn probe_client_everywhere(
        &mut self,
        (account, id): (Account, &str),
        tokens: &[ClientToken],
        credentials: &[Credential],
    ) {
        for replica in self.ready_replicas() {
            for token in tokens {
                self.present_of_client(Some(replica), account, token).await;
            }
            for credential in credentials {
                self.request_client_token(Some(replica), (account, id), credential).await;
            }
        }
    }

    /// Presents the access token of an ended session to every replica that takes requests.
    pub async fn probe_everywhere(&mut self, account: Account, token: (Uuid, &str)) {
        let probes = self.ready_replicas().into_iter().map(|replica| {
            let endpoint = *self.random.pick(&[Endpoint::Me, Endpoint::Verify, Endpoint::Introspect]);
            let mut client = self.clone();
            async move { client.present(endpoint, Some(replica), account, token).await }
        });
        futures::future::join_all(probes).await;
    }
}

async fn answer(request: RequestBuilder) -> (Outcome, Value) {
    let failed = |error: &reqwest::Error| {
        if error.is_timeout() {
            Outcome::Silent
        } else if error.is_connect() {
            Outcome::NotSent
        } else {
            Outcome::Lost
        }
    };
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return (failed(&error), Value::Null),
    };
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").is_some_and(|value| {
        value.to_str().is_ok_and(|text| text.parse::<u32>().is_ok_and(|seconds| seconds > 0))
    });
    match response.bytes().await {
        Ok(body) => {
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            (Outcome::Answered { status, retry_after }, body)
        }
        Err(error) => (failed(&error), Value::Null),
    }
}

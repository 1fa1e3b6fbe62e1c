//! The requests of each load.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use hyper::body::Bytes;
use latchkey_tests::app::{Session, path};
use latchkey_tests::clients_file::TestClient;
use serde::Deserialize;
use serde_json::json;

use crate::connection::Answer;
use crate::load::Flow;

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

fn request(method: Method, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body.into()));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("a path");
    request.headers_mut().insert(HOST, HeaderValue::from_static("127.0.0.1"));
    request
}

fn bearer(token: &str) -> HeaderValue {
    HeaderValue::try_from(format!("Bearer {token}")).expect("a token")
}

/// A GET request with one of these tokens.
pub struct Read {
    path: &'static str,
    tokens: Vec<HeaderValue>,
}

impl Read {
    /// Of this path.
    pub fn new(path: &'static str, sessions: &[Session]) -> Self {
        Self { path, tokens: sessions.iter().map(|session| bearer(&session.access)).collect() }
    }

    /// Without a token.
    pub fn plain(path: &'static str) -> Self {
        Self { path, tokens: vec![bearer("none")] }
    }
}

impl Flow for Read {
    fn request(&self, sequence: usize) -> Request<Full<Bytes>> {
        let mut request = request(Method::GET, self.path, Bytes::new());
        request.headers_mut().insert(AUTHORIZATION, self.tokens[sequence % self.tokens.len()].clone());
        request
    }
}

/// `POST /login`: each time another account.
pub struct Login {
    pub users: usize,
    pub password: String,
    /// Where this load begins, so that two loads do not use the same accounts.
    pub first: usize,
}

impl Flow for Login {
    fn request(&self, sequence: usize) -> Request<Full<Bytes>> {
        // The numbers of consecutive logins are far apart, as those of independent users.
        let user = 1 + (self.first + sequence).wrapping_mul(7_919) % self.users;
        let body = format!("username=load-{user}&password={}", self.password);
        let mut request = request(Method::POST, path::LOGIN, body);
        request.headers_mut().insert(CONTENT_TYPE, FORM);
        request
    }
}

/// `POST /introspect` by an application.
pub struct Introspect {
    authorization: HeaderValue,
    bodies: Vec<Bytes>,
}

impl Introspect {
    /// Of the access tokens of these sessions.
    pub fn new((id, secret): (&str, &str), sessions: &[Session]) -> Self {
        let credentials = STANDARD.encode(format!("{id}:{secret}"));
        let bodies = sessions.iter().map(|session| format!("token={}", session.access).into()).collect();
        Self { authorization: HeaderValue::try_from(format!("Basic {credentials}")).expect("ASCII"), bodies }
    }
}

impl Flow for Introspect {
    fn request(&self, sequence: usize) -> Request<Full<Bytes>> {
        let body = self.bodies[sequence % self.bodies.len()].clone();
        let mut request = request(Method::POST, path::INTROSPECT, body);
        request.headers_mut().insert(CONTENT_TYPE, FORM);
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        request
    }
}

/// `POST /token` by OAuth clients for themselves, each time another one.
pub struct ClientTokens(Vec<HeaderValue>);

impl ClientTokens {
    /// By these clients.
    pub fn new(clients: &[TestClient]) -> Self {
        let authorization = |client: &TestClient| {
            let credentials = STANDARD.encode(format!("{}:{}", client.id, client.secret));
            HeaderValue::try_from(format!("Basic {credentials}")).expect("ASCII")
        };
        Self(clients.iter().map(authorization).collect())
    }
}

impl Flow for ClientTokens {
    fn request(&self, sequence: usize) -> Request<Full<Bytes>> {
        let mut request = request(Method::POST, path::TOKEN, "grant_type=client_credentials");
        request.headers_mut().insert(CONTENT_TYPE, FORM);
        request.headers_mut().insert(AUTHORIZATION, self.0[sequence % self.0.len()].clone());
        request
    }
}

/// `POST /refresh`: each exchange uses the tokens of an earlier one.
pub struct Refresh(Mutex<VecDeque<Session>>);

impl Refresh {
    /// Of these sessions.
    pub fn new(sessions: Vec<Session>) -> Self {
        Self(Mutex::new(sessions.into()))
    }
}

#[derive(Deserialize)]
struct Pair {
    access_token: Token,
    refresh_token: Token,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

impl Flow for Refresh {
    fn request(&self, _: usize) -> Request<Full<Bytes>> {
        let session = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let session = session.expect("more sessions than connections, unless exchanges fail");
        let body = json!({ "token": session.refresh }).to_string();
        let mut request = request(Method::POST, path::REFRESH, body);
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        request.headers_mut().insert(AUTHORIZATION, bearer(&session.access));
        request
    }

    fn answered(&self, answer: &Answer) {
        if let Ok(pair) = serde_json::from_slice::<Pair>(&answer.body) {
            let session = Session { access: pair.access_token.token, refresh: pair.refresh_token.token };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(session);
        }
    }
}

/// `POST /logout` with the cookie, as browsers send it: each time another session.
pub struct Logout(pub Vec<Session>);

impl Flow for Logout {
    fn request(&self, sequence: usize) -> Request<Full<Bytes>> {
        // A logout that is repeated succeeds too, but costs less: the caller checks that the sessions suffice.
        let session = &self.0[sequence % self.0.len()];
        let cookie = HeaderValue::try_from(format!("refresh_token={}", session.refresh)).expect("a token");
        let mut request = request(Method::POST, path::LOGOUT, Bytes::new());
        request.headers_mut().insert(AUTHORIZATION, bearer(&session.access));
        request.headers_mut().insert(COOKIE, cookie);
        request
    }
}

/// OAuth 2.0 grants at the token endpoint of another server.
pub struct Grants {
    path: &'static str,
    form: String,
    users: usize,
    /// The refresh tokens; empty for passwords.
    sessions: Mutex<VecDeque<Session>>,
    uses_passwords: bool,
}

impl Grants {
    /// With the passwords of the accounts `load-1` to `load-N`; `form`: the other parameters.
    pub fn of_passwords(path: &'static str, form: String, users: usize) -> Self {
        Self { path, form, users, sessions: Mutex::default(), uses_passwords: true }
    }

    /// With the refresh tokens of these sessions.
    pub fn of_refresh_tokens(path: &'static str, form: String, sessions: Vec<Session>) -> Self {
        Self { path, form, users: 0, sessions: Mutex::new(sessions.into()), uses_passwords: false }
    }
}

#[derive(Deserialize)]
struct GrantedTokens {
    access_token: String,
    refresh_token: String,
}

impl Flow for Grants {
    fn request(&self, sequence: usize) -> Request<Full<Bytes>> {
        let body = if self.uses_passwords {
            format!("{}&username=load-{}", self.form, 1 + sequence % self.users)
        } else {
            let session = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let session = session.expect("more sessions than connections, unless grants fail");
            format!("{}&refresh_token={}", self.form, session.refresh)
        };
        let mut request = request(Method::POST, self.path, body);
        request.headers_mut().insert(CONTENT_TYPE, FORM);
        request
    }

    fn answered(&self, answer: &Answer) {
        if self.uses_passwords {
            return;
        }
        if let Ok(tokens) = serde_json::from_slice::<GrantedTokens>(&answer.body) {
            let session = Session { access: tokens.access_token, refresh: tokens.refresh_token };
            self.sessions.lock().unwrap_or_else(PoisonError::into_inner).push_back(session);
        }
    }
}

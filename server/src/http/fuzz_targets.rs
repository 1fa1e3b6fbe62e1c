//! Bodies, queries, headers and cookies, as the routes read them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::http::header::{ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use axum::middleware::from_fn;
use axum::routing::post;
use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

use super::arrival::await_body;
use super::bearer::bearer_token;
use super::body::{ApiJson, JsonBody, given};
use super::client_address::decide_client_address;
use super::client_auth::{ClientFields, present_client};
use super::content::{Content, JSON, MULTIPART, URLENCODED};
use super::cookie::{self, Found};
use super::form::AnyForm;
use super::problem::Problem;
use super::query::QueryFields;
use crate::domain::Locale;
use crate::telemetry::continue_trace;

const CONTENT_TYPES: [&str; 4] = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded; charset=iso-8859-1",
    "application/json",
];

/// A form; the first byte chooses the content type.
pub fn form(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let handler = |form: Result<AnyForm<BTreeMap<String, String>>, Problem>| async move {
        form.map(|AnyForm(fields)| assert!(fields.len() <= super::form::MAX_FIELDS))
    };
    send(Router::new().route("/", post(handler)), CONTENT_TYPES[usize::from(choice % 4)], body);
}

#[derive(Deserialize)]
struct Fields {
    text: String,
    #[serde(default, deserialize_with = "given")]
    number: Option<i64>,
    #[serde(default, deserialize_with = "given")]
    flag: Option<bool>,
}

impl JsonBody for Fields {
    const REQUIRED: &'static [&'static str] = &["text"];
    const OPTIONAL: &'static [&'static str] = &["number", "flag"];
}

/// A JSON body.
pub fn json(data: &[u8]) {
    let handler = |body: Result<ApiJson<Fields>, Problem>| async move {
        body.map(|ApiJson(fields)| {
            format!("{} {:?} {:?}", fields.text, fields.number, fields.flag).len().to_string()
        })
    };
    send(Router::new().route("/", post(handler)), "application/json", data);
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

/// Whatever a client sends, the response is a success or says what is wrong with the request.
fn send(router: Router, content_type: &'static str, body: &[u8]) {
    let request = Request::post("/").header(CONTENT_TYPE, content_type).body(Body::from(body.to_vec()));
    let router = router.layer(from_fn(await_body));
    let response = RUNTIME.block_on(router.oneshot(request.expect("a request")));
    let status = response.map_or(StatusCode::INTERNAL_SERVER_ERROR, |response| response.status());
    assert!(status.is_success() || status.is_client_error(), "{status}");
}

/// A query.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(mut fields) = QueryFields::parse(Some(text), &["cursor", "limit", "user_id", "is_active"]) {
        let _ = (fields.cursor(), fields.id("user_id"), fields.flag("is_active"));
        assert!((1..=200).contains(&fields.limit()));
        let _ = fields.finish();
    }
}

/// Headers, one a line.
pub fn header(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(value.trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            headers.append(name, value);
        }
    }
    if let Ok(token) = bearer_token(&headers) {
        assert!(headers.contains_key(AUTHORIZATION) && !token.is_empty());
    }
    for (id, secret) in [("", ""), ("orders", "x")] {
        let (assertion_type, assertion) = ("", "");
        let fields = ClientFields { id, secret, assertion_type, assertion };
        let _ = present_client(&fields, &headers);
    }
    let _ = Content::of_request(&headers, &[JSON, URLENCODED, MULTIPART]);
    let peer = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let trusted = ["10.0.0.0/8".parse().expect("a network")];
    let _ = decide_client_address(peer, &headers, &trusted);
    continue_trace(&tracing::info_span!("fuzz"), &headers);
    let languages = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let _ = languages.map(Locale::accepted);
}

/// The lines of a cookie header.
pub fn cookie(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok());
    let headers: HeaderMap = lines.map(|line| (COOKIE, line)).collect();
    if let Found::One(value) = cookie::find(&headers, "refresh_token") {
        assert!(data.windows(value.len()).any(|part| part == value.as_bytes()));
    }
    let _ = cookie::device(&headers);
}

//! Responses of the API, and the assertions that hold for each of them.

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::wait;

/// A complete response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The unparsed body.
    pub body: String,
}

/// Sends a request and reads the complete response.
pub trait Answered {
    /// Sends the request.
    fn answer(self) -> impl Future<Output = Answer> + Send;
}

impl Answered for reqwest::RequestBuilder {
    async fn answer(self) -> Answer {
        let response = self.send().await.expect("a response");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("the body of the response");
        Answer { status, headers, body: String::from_utf8(body.to_vec()).expect("a response in UTF-8") }
    }
}

/// Sends a request again while the queue of password hashes refuses it, as on a busy machine. A refused request has no
/// effect.
pub async fn admitted<F: Future<Output = Answer>>(mut request: impl FnMut() -> F) -> Answer {
    wait::until("a request to be admitted", || {
        let sent = request();
        async {
            let answer = sent.await;
            let is_refused = answer.status == 503 && answer.body.contains("Too many logins");
            if is_refused { Err(answer) } else { Ok(answer) }
        }
    })
    .await
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a printable header"))
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Asserts the status and that the body is JSON, and returns the body.
    ///
    /// # Panics
    /// When an assertion fails.
    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        assert!(self.header("x-request-id").is_some_and(|id| !id.is_empty()), "no request id: {self:?}");
        self.json()
    }

    /// Asserts that this is the problem document (RFC 9457) that the REST contract specifies for `status`, and returns
    /// it.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        let problem = self.json();
        // An error of an OAuth endpoint (RFC 6749 §5.2), whose clients take a challenge for the error itself.
        let is_oauth = problem.get("error").is_some();
        let media_type = if is_oauth { "application/json" } else { "application/problem+json" };
        assert_eq!(self.header("content-type"), Some(media_type), "{self:?}");
        if is_oauth {
            assert_eq!(self.header("www-authenticate").is_some(), status == 401, "{self:?}");
            assert_eq!(problem["error_description"], problem["detail"], "{self:?}");
            assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        }
        self.assert_problem_members(&problem);
        let lower = self.body.to_lowercase();
        for internal in [
            "sqlx",
            "select ",
            "insert into",
            "panicked",
            ".rs:",
            "stack backtrace",
            "postgres://",
            "redis://",
        ] {
            assert!(!lower.contains(internal), "the response discloses {internal:?}: {}", self.body);
        }
        match status {
            401 => {
                let challenge = self.header("www-authenticate").unwrap_or_default();
                let known = ["Bearer ", "Basic "].iter().any(|scheme| challenge.starts_with(scheme));
                assert!(known, "WWW-Authenticate: {challenge:?}");
            }
            429 | 503 => {
                let seconds = self.header("retry-after").unwrap_or_default();
                assert!(seconds.parse::<u32>().is_ok_and(|s| s > 0), "Retry-After: {seconds:?}");
            }
            _ => {}
        }
        problem
    }

    #[track_caller]
    fn assert_problem_members(&self, problem: &Value) {
        const KNOWN: [&str; 8] =
            ["type", "title", "status", "detail", "instance", "errors", "error", "error_description"];
        let members = problem.as_object().expect("an object");
        for name in ["type", "title", "detail", "instance"] {
            let text = members.get(name).and_then(Value::as_str).unwrap_or_default();
            assert!(!text.is_empty(), "`{name}` is not a text: {}", self.body);
        }
        assert_eq!(members.get("status"), Some(&Value::from(self.status)), "{}", self.body);
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.ends_with('.') && !detail.contains('\n'), "`detail` is not a sentence: {detail:?}");
        let request_id = self.header("x-request-id").unwrap_or_default();
        assert!(!request_id.is_empty(), "no request id: {self:?}");
        assert!(
            problem["instance"].as_str().is_some_and(|instance| instance.ends_with(request_id)),
            "instance {} does not end with the request id {request_id}",
            problem["instance"]
        );
        for name in members.keys() {
            assert!(KNOWN.contains(&name.as_str()), "the REST contract has no member {name}");
        }
        for error in members.get("errors").and_then(Value::as_array).into_iter().flatten() {
            let keys: Vec<_> = error.as_object().expect("an object").keys().map(String::as_str).collect();
            assert_eq!(keys, ["field", "message"], "{}", self.body);
            assert!(error["field"].is_string() && error["message"].is_string(), "{}", self.body);
        }
    }

    /// The invalid fields that a validation error lists.
    ///
    /// # Panics
    /// When it is not a validation error.
    #[track_caller]
    pub fn invalid_fields(&self) -> Vec<String> {
        let problem = self.problem(422);
        let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("no errors: {}", self.body));
        errors.iter().filter_map(|error| error["field"].as_str().map(str::to_owned)).collect()
    }

    /// The cookie of this name that the response sets: `NAME=VALUE` first, then its attributes, sorted.
    ///
    /// # Panics
    /// When it sets several.
    pub fn cookie_named(&self, name: &str) -> Option<Vec<String>> {
        let all = self.headers.get_all("set-cookie").iter();
        let all = all.map(|cookie| cookie.to_str().expect("a printable cookie"));
        let mut named = all.filter(|cookie| cookie.split_once('=').is_some_and(|(found, _)| found == name));
        let cookie = named.next()?;
        assert!(named.next().is_none(), "the cookie {name} is set twice");
        let mut parts: Vec<String> = cookie.split("; ").map(str::to_owned).collect();
        parts[1..].sort();
        Some(parts)
    }

    /// [`Answer::cookie_named`] for the cookie `refresh_token`.
    ///
    /// # Panics
    /// When the response does not set it.
    pub fn cookie(&self) -> Vec<String> {
        self.cookie_named("refresh_token").expect("the cookie refresh_token")
    }

    /// Whether the response sets or clears a cookie.
    pub fn sets_cookie(&self) -> bool {
        self.headers.contains_key("set-cookie")
    }
}

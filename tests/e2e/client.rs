//! An application in the cluster: a pod that sends requests.

use std::process::Output;

use latchkey_tests::answer::Answer;
use latchkey_tests::app::{Session, User, path};
use latchkey_tests::logs::secret;
use latchkey_tests::process::run_with_input;
use latchkey_tests::wait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::namespace::{NAME, Namespace};
use crate::waiting::wait_for;

/// The pod, and the Service to which it sends requests.
pub struct Client<'a> {
    namespace: &'a Namespace,
    /// The base URL: that of the Service.
    base: String,
}

/// Writes its input to a file, and runs curl with it as the configuration if it is `$1` bytes long. `kubectl exec`
/// sometimes ends the input before it has sent it.
const RUN_CURL: &str = r#"
file=$(mktemp) && cat >"$file" || exit
[ "$(wc -c <"$file")" -eq "$1" ] || { rm -f "$file"; exit 99; }
shift
curl "$@" -K "$file"
status=$?
rm -f "$file"
exit "$status""#;

/// The exit status of [`RUN_CURL`] if the input was incomplete: no request was sent.
const INCOMPLETE: i32 = 99;

/// A request, as curl's configuration.
#[derive(Clone)]
pub struct Request(Vec<(&'static str, String)>);

impl Request {
    /// A GET request to a complete URL.
    pub fn get(url: impl Into<String>) -> Self {
        Self(vec![("url", url.into())])
    }

    /// A POST request without a body.
    pub fn post(url: impl Into<String>) -> Self {
        Self::get(url).with("request", "POST")
    }

    /// Adds an access token.
    pub fn bearer(self, token: &str) -> Self {
        self.header(&format!("Authorization: Bearer {token}"))
    }

    /// Adds a header.
    pub fn header(self, line: &str) -> Self {
        self.with("header", line)
    }

    /// Adds a form field.
    pub fn field(self, name: &str, value: &str) -> Self {
        self.with("data-urlencode", &format!("{name}={value}"))
    }

    /// Adds a JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.header("Content-Type: application/json").with("data-raw", &body.to_string())
    }

    fn with(mut self, option: &'static str, value: &str) -> Self {
        self.0.push((option, value.to_owned()));
        self
    }

    fn config(&self) -> String {
        let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let line = |(option, value): &(&str, String)| format!("{option} = \"{}\"\n", escape(value));
        self.0.iter().map(line).collect::<Vec<_>>().concat()
    }
}

impl<'a> Client<'a> {
    /// Starts the pod.
    pub async fn start(namespace: &'a Namespace) -> Self {
        let container = json!({"image": namespace.cluster.images.client, "command": ["sleep", "1000000"]});
        namespace.run("client", container, None, false).await;
        namespace.wait_for_pod("client").await;
        Self { namespace, base: format!("http://{NAME}.{}.svc", namespace.name) }
    }

    /// Waits until the Service has a reachable endpoint: kube-proxy observes the first ready pod a moment after the
    /// status of the Deployment shows it.
    pub async fn wait_until_routed(&self) {
        let request = Request::get(self.url(path::JWKS)).config();
        wait_for("the Service to have an endpoint", async || {
            let output = self.curl(&["-sS", "-o", "/dev/null", "--max-time", "5"], &request);
            if output.status.success() {
                Ok(())
            } else {
                Err(String::from_utf8_lossy(&output.stderr).into_owned())
            }
        })
        .await;
    }

    /// The URL of a path at the Service.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Runs a command in the pod and returns its standard output.
    ///
    /// # Panics
    /// When it fails.
    pub fn exec(&self, command: &[&str], input: &str) -> String {
        succeeded(&self.run(command, input), command)
    }

    /// Runs curl in the pod. Its configuration is passed in standard input, never in arguments.
    fn curl(&self, options: &[&str], config: &str) -> Output {
        let length = config.len().to_string();
        let command = [&["sh", "-c", RUN_CURL, "sh", &length], options].concat();
        wait::until_blocking("the whole request to reach the pod", || {
            let output = self.run(&command, config);
            if output.status.code() == Some(INCOMPLETE) { Err(output) } else { Ok(output) }
        })
    }

    fn run(&self, command: &[&str], input: &str) -> Output {
        let mut kubectl = self.namespace.cluster.kubectl();
        kubectl.args(["-n", &self.namespace.name, "exec", "-i", "client", "--"]).args(command);
        run_with_input(&mut kubectl, input)
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When there is no response.
    pub fn send(&self, request: &Request) -> Answer {
        let options = ["-sS", "-i", "--max-time", "20"];
        parse(&succeeded(&self.curl(&options, &request.config()), &options))
    }

    /// Writes a request to a file in the pod, as a configuration of curl.
    pub fn leave(&self, request: &Request, file: &str) {
        let config = request.config();
        // `kubectl exec` sometimes ends the input before it has sent it.
        wait::until_blocking("the whole file to be written", || {
            self.exec(&["sh", "-c", r#"cat >"$1""#, "sh", file], &config);
            let size = self.exec(&["sh", "-c", r#"wc -c <"$1""#, "sh", file], "");
            wait::check(size.trim() == config.len().to_string(), size)
        });
    }

    /// Sends requests one after the other without a pause, and returns the status of each response.
    pub fn statuses(&self, requests: &[Request]) -> Vec<u16> {
        let each = |request: &Request| {
            format!(
                "{}silent\nmax-time = 20\noutput = /dev/null\nwrite-out = \"%{{http_code}}\\n\"\n",
                request.config()
            )
        };
        let config = requests.iter().map(each).collect::<Vec<_>>().join("next\n");
        let answer = succeeded(&self.curl(&[], &config), &["curl"]);
        answer.lines().map(|line| line.parse().expect("a status")).collect()
    }

    /// `POST /login`.
    pub fn post_login(&self, username: &str, password: &str) -> Answer {
        let request =
            Request::post(self.url(path::LOGIN)).field("username", username).field("password", password);
        self.send(&request)
    }

    /// Logs in.
    pub fn log_in(&self, username: &str, password: &str) -> Session {
        Session::from_answer(&self.post_login(username, password))
    }

    /// `GET /me`.
    pub fn me(&self, access: &str) -> Answer {
        self.send(&Request::get(self.url(path::ME)).bearer(access))
    }

    /// `POST /refresh`.
    pub fn refresh(&self, session: &Session) -> Answer {
        let request = Request::post(self.url(path::REFRESH)).bearer(&session.access);
        self.send(&request.json(&json!({"token": session.refresh})))
    }

    /// Creates an account as the first superuser.
    pub fn create_user(&self, admin_password: &str, username: &str) -> User {
        let admin = self.log_in("root.admin", admin_password);
        let (email, password) = (format!("{username}@example.test"), secret("user"));
        let body = json!({"username": username, "email": email, "name": "John Doe", "password": password});
        let request = Request::post(self.url(path::USERS)).bearer(&admin.access).json(&body);
        let id = self.send(&request).ok(201)["id"].as_i64().expect("an id");
        User { id, username: username.to_owned(), email, password }
    }

    /// `POST /password-recovery/{email}`.
    pub fn ask_for_recovery(&self, email: &str) {
        let answer = self.send(&Request::post(self.url(&format!("{}/{email}", path::RECOVERY))));
        assert_eq!(answer.ok(200)["message"], "Password recovery email sent.");
    }

    /// Waits for this number of messages to an address, and returns their text parts, oldest first.
    pub async fn mail_to(&self, email: &str, count: usize) -> Vec<String> {
        let get = |path: &str| self.send(&Request::get(format!("http://mailpit:8025/api/v1/{path}"))).json();
        wait_for(&format!("{count} messages to {email}"), async || {
            let found = get(&format!("search?query=to:{email}"));
            let summaries = found["messages"].as_array().expect("a list of messages");
            if summaries.len() < count {
                return Err(format!("{found}"));
            }
            let ids = summaries.iter().rev().map(|summary| summary["ID"].as_str().expect("an ID"));
            let text = |id| get(&format!("message/{id}"))["Text"].as_str().expect("a text part").to_owned();
            Ok(ids.map(text).collect())
        })
        .await
    }
}

/// The URL of an IPv4 or IPv6 address and a port, without a slash at the end.
pub fn url_of(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("http://[{address}]:{port}")
    } else {
        format!("http://{address}:{port}")
    }
}

/// The standard output of a command that succeeded.
fn succeeded(output: &Output, command: &[&str]) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} in the client's pod failed: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The only link in an e-mail.
pub fn link(text: &str) -> reqwest::Url {
    let mut links = text.split_whitespace().filter(|word| word.contains("://"));
    let link = links.next().expect("a link in the text part");
    assert_eq!(links.next(), None, "one link only");
    link.parse().expect("the link is a URL")
}

/// Parses the output of `curl -i`.
fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {text}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name: HeaderName = name.parse().expect("the name of a header");
        headers.append(name, HeaderValue::from_str(value).expect("the value of a header"));
    }
    Answer { status: status.expect("a status"), headers, body: body.to_owned() }
}

//! One HTTPS request to the API server. It is so small that the server needs no client library of Kubernetes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use latchkey_config::WorkloadIdentity;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// How long one request may take, with the connection.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The answer repeats the token and has little else.
const MAX_ANSWER: usize = 256 * 1024;

/// The API server did not answer. The text contains no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the API server of Kubernetes cannot review a token: {0}")]
pub struct ReviewUnavailable(pub(super) &'static str);

/// This server may not create TokenReviews.
pub(super) const FORBIDDEN: ReviewUnavailable =
    ReviewUnavailable("it refuses: the service account of this server may not create TokenReviews");

/// `status` of a TokenReview.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) authenticated: bool,
    pub(super) user: Option<User>,
    /// Those of the question that the token has.
    pub(super) audiences: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct User {
    pub(super) username: String,
    pub(super) extra: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    status: Status,
}

/// The status in a TokenReview.
pub(super) fn parse(body: &[u8]) -> Result<Status, ReviewUnavailable> {
    let review: Review =
        serde_json::from_slice(body).map_err(|_| ReviewUnavailable("its answer is not a TokenReview"))?;
    Ok(review.status)
}

/// The address of the API server, and what this server shows it. The files are read for each request: the kubelet replaces
/// them.
pub(super) struct ApiServer {
    url: Url,
    ca_file: PathBuf,
    token_file: PathBuf,
}

impl ApiServer {
    pub(super) fn new(settings: &WorkloadIdentity) -> Self {
        let WorkloadIdentity { api_url, ca_file, token_file } = settings.clone();
        Self { url: api_url, ca_file, token_file }
    }

    /// The token of this server's own service account.
    pub(super) async fn own_token(&self) -> Result<String, ReviewUnavailable> {
        let text = tokio::fs::read_to_string(&self.token_file).await;
        let text = text.map_err(|_| ReviewUnavailable("KUBERNETES_TOKEN_FILE cannot be read"))?;
        Ok(text.trim().to_owned())
    }

    /// Reviews a token for these audiences; for those of the API server if there are none.
    pub(super) async fn review(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Status, ReviewUnavailable> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": { "token": token, "audiences": audiences },
        });
        let answer = tokio::time::timeout(TIMEOUT, self.post(review.to_string())).await;
        let (status, body) =
            answer.unwrap_or(Err(ReviewUnavailable("it did not answer within the time limit")))?;
        match status {
            StatusCode::CREATED | StatusCode::OK => {}
            StatusCode::FORBIDDEN => return Err(FORBIDDEN),
            StatusCode::UNAUTHORIZED => {
                return Err(ReviewUnavailable("it does not accept the token of this server"));
            }
            _ => return Err(ReviewUnavailable("it answered with an error")),
        }
        parse(&body)
    }

    async fn post(&self, body: String) -> Result<(StatusCode, Bytes), ReviewUnavailable> {
        let unreachable = ReviewUnavailable("it cannot be reached");
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or(443);
        let authority = format!("{host}:{port}");
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", self.own_token().await?))
            .map_err(|_| ReviewUnavailable("KUBERNETES_TOKEN_FILE contains no token"))?;
        authorization.set_sensitive(true);
        let tls = TlsConnector::from(Arc::new(self.tls().await?));
        let name = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name)
            .map_err(|_| ReviewUnavailable("the host of KUBERNETES_API_URL is not valid"))?;
        let stream = TcpStream::connect(&authority).await.map_err(|_| unreachable.clone())?;
        let stream = tls.connect(name, stream).await.map_err(|_| {
            ReviewUnavailable("its certificate is not one of KUBERNETES_CA_FILE, or TLS failed")
        })?;
        let (mut sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|_| unreachable.clone())?;
        // It ends with the sender, or with the answer.
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(Method::POST)
            .uri(PATH)
            .header(HOST, authority)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| unreachable.clone())?;
        let answered = async {
            let answer = sender.send_request(request).await.ok()?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.ok()?;
            Some((status, body.to_bytes()))
        };
        let answered = answered.await;
        connection.abort();
        answered.ok_or(unreachable)
    }

    async fn tls(&self) -> Result<ClientConfig, ReviewUnavailable> {
        let unusable = ReviewUnavailable("KUBERNETES_CA_FILE cannot be read, or contains no certificate");
        let pem = tokio::fs::read(&self.ca_file).await.map_err(|_| unusable.clone())?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
            added.ok_or_else(|| unusable.clone())?;
        }
        if roots.is_empty() {
            return Err(unusable);
        }
        Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    }
}

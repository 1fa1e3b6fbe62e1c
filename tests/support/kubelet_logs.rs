//! Simulates the part of the kubelet that serves the logs of containers, to which the API server forwards requests for them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use reqwest::Url;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::control_plane::apply;

/// A node that serves the logs of the pods that are bound to it. Dropping it ends that; the node remains.
pub struct LogNode {
    name: String,
    client: Client,
    logs: Arc<watch::Sender<Logs>>,
    server: JoinHandle<()>,
}

/// By the name of the pod.
type Logs = BTreeMap<String, Log>;

#[derive(Debug, Default)]
struct Log {
    /// Requests that began with another number end.
    streams: u64,
    lines: Vec<(DateTime<Utc>, String)>,
}

impl LogNode {
    /// Creates a node of this name and starts to listen.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn start(client: Client, name: &str) -> Self {
        // Its files are removed when it is dropped.
        let authority = Authority::new("kubelet");
        let certificate = authority.issue();
        let chain: Vec<_> = CertificateDer::pem_file_iter(&certificate.certificate)
            .and_then(Iterator::collect)
            .expect("the certificate just issued");
        let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("its key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions of TLS").with_no_client_auth().with_single_cert(chain, key);
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("a certificate with its key")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("the address just bound").port();
        let (sender, _) = watch::channel(Logs::default());
        let logs = Arc::new(sender);
        let shared = Arc::clone(&logs);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, logs) = (acceptor.clone(), shared.subscribe());
                tokio::spawn(async move { serve(acceptor.accept(stream).await.ok()?, logs).await });
            }
        });
        apply(&client, &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})).await;
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }});
        Api::<Node>::all(client.clone())
            .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("the node's status is written");
        Self { name: name.to_owned(), client, logs, server }
    }

    /// Binds a pod to this node, as the scheduler does.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn bind(&self, pod: &Pod) {
        let target = json!({"apiVersion": "v1", "kind": "Node", "name": self.name});
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod.name_any()}, "target": target,
        });
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        pods.create_subresource::<_, Value>("binding", &pod.name_any(), &PostParams::default(), &binding)
            .await
            .expect("the pod is bound");
    }

    /// Appends a line to the log of the container that runs in this pod.
    pub fn write(&self, pod: &str, line: &str) {
        self.logs.send_modify(|logs| {
            let log = logs.entry(pod.to_owned()).or_default();
            // Two lines never have the same time.
            let earliest = log.lines.last().map(|(time, _)| *time + TimeDelta::nanoseconds(1));
            log.lines.push((earliest.unwrap_or_default().max(Utc::now()), line.to_owned()));
        });
    }

    /// Replaces the log by that of the next start of the container.
    pub fn restart(&self, pod: &str) {
        self.logs.send_modify(|logs| {
            let log = logs.entry(pod.to_owned()).or_default();
            log.streams += 1;
            log.lines.clear();
        });
    }

    /// Ends the requests for this log, although the container runs.
    pub fn cut(&self, pod: &str) {
        self.logs.send_modify(|logs| logs.entry(pod.to_owned()).or_default().streams += 1);
    }
}

impl Drop for LogNode {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Answers one request; the end of the connection is the end of the log.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut logs: watch::Receiver<Logs>,
) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    let request = String::from_utf8(request).ok()?;
    let target = Url::parse("https://kubelet").ok()?.join(request.split(' ').nth(1)?).ok()?;
    // /containerLogs/NAMESPACE/POD/CONTAINER
    let pod = target.path_segments()?.nth(2)?.to_owned();
    let option =
        |name: &str| target.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let follows = option("follow").as_deref() == Some("true");
    let since: Option<DateTime<Utc>> = option("sinceTime").and_then(|time| time.parse().ok());
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n")
        .await
        .ok()?;
    let begun = streams(&logs.borrow(), &pod);
    let mut sent = 0;
    loop {
        let mut text = String::new();
        let continues = {
            let logs = logs.borrow_and_update();
            let is_same = streams(&logs, &pod) == begun;
            let lines = logs.get(&pod).filter(|_| is_same).map_or(&[][..], |log| &log.lines);
            for (time, line) in lines.iter().skip(sent) {
                if since.is_none_or(|since| *time >= since) {
                    let time = time.to_rfc3339_opts(SecondsFormat::Nanos, true);
                    let _ = writeln!(text, "{time} {line}");
                }
            }
            sent = lines.len();
            follows && is_same
        };
        stream.write_all(text.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
        if !continues || logs.changed().await.is_err() {
            break;
        }
    }
    stream.shutdown().await.ok()
}

fn streams(logs: &Logs, pod: &str) -> u64 {
    logs.get(pod).map_or(0, |log| log.streams)
}

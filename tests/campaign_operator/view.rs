//! What an operator sees of a watch: the events as the API server sends them, or disturbed.

use std::sync::Arc;

use futures::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::call::Call;
use crate::fault::{Fault, View};
use crate::proxy::{AnyBody, ErrorBox, Shared, lock};

/// A list as it was at an earlier time.
#[derive(Debug, Clone)]
pub struct OldList {
    path: String,
    selector: String,
    version: String,
    items: Vec<Value>,
}

/// The part of a query that selects objects.
fn selector(query: &str) -> String {
    let parts =
        query.split('&').filter(|p| p.starts_with("labelSelector=") || p.starts_with("fieldSelector="));
    parts.collect::<Vec<_>>().join("&")
}

/// Reads the list that a watch begins with.
pub async fn read_list(client: &Client, path: &str, query: &str, accept: &str) -> Option<OldList> {
    let selector = selector(query);
    let accept = accept.replace("as=PartialObjectMetadata;", "as=PartialObjectMetadataList;");
    let request = Request::get(format!("{path}?{selector}")).header("accept", accept);
    let response = client.send(request.body(Body::empty()).ok()?).await.ok()?;
    let body = response.into_body().collect_bytes().await.ok()?;
    let list: Value = serde_json::from_slice(&body).ok()?;
    let kind = list["kind"].as_str()?.strip_suffix("List")?.to_owned();
    let mut items = list["items"].as_array()?.clone();
    for item in &mut items {
        item["apiVersion"] = list["apiVersion"].clone();
        item["kind"] = json!(kind);
    }
    let version = list["metadata"]["resourceVersion"].as_str()?.to_owned();
    Some(OldList { path: path.to_owned(), selector, version, items })
}

struct Sender(mpsc::Sender<Result<Frame<Bytes>, ErrorBox>>);

impl Sender {
    /// Whether the operator still listens.
    async fn line(&self, line: impl Into<Bytes>) -> bool {
        self.0.send(Ok(Frame::data(line.into()))).await.is_ok()
    }

    async fn cut(&self) {
        // The operator may have disconnected.
        let _ = self.0.send(Err("cut by the plan".into())).await;
    }

    async fn expire(&self) {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "too old resource version", "reason": "Expired", "code": 410,
        });
        self.line(format!("{}\n", json!({"type": "ERROR", "object": status}))).await;
    }
}

/// Answers a watch.
pub async fn answer(
    shared: &Arc<Shared>,
    call: &Call,
    path: &str,
    query: &str,
    accept: &str,
) -> Result<Response<AnyBody>, ErrorBox> {
    let fault = shared.view_of(&call.resource).filter(|_| *shared.disturbed.borrow());
    let mut query = query.to_owned();
    let mut before = None;
    if let Some(Fault::OlderList { .. }) = fault
        && query.contains("sendInitialEvents=true")
    {
        let wanted = selector(&query);
        let lists = lock(&shared.old_lists).clone();
        let old = lists.into_iter().find(|list| list.path == path && list.selector == wanted);
        if let Some(old) = old {
            shared.strike();
            query = format!("{wanted}&watch=true&allowWatchBookmarks=true&resourceVersion={}", old.version);
            before = Some(old);
        }
    }
    let (sender, receiver) = mpsc::channel(1);
    let sender = Sender(sender);
    let request = Request::get(format!("{path}?{query}")).header("accept", accept).body(Body::empty())?;
    let response = shared.client.send(request).await?;
    let (mut head, body) = response.into_parts();
    head.headers.remove("content-length");
    let (shared, resource) = (shared.clone(), call.resource.clone());
    tokio::spawn(async move {
        let pump = pump(&shared, &resource, &sender, before, body);
        tokio::select! {
            () = pump => {}
            () = sender.0.closed() => {}
        }
    });
    let frames =
        futures::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    Ok(Response::from_parts(head, StreamBody::new(frames.boxed()).boxed_unsync()))
}

/// Waits until the plan disturbs no watch any more.
pub async fn lifted(disturbed: &mut watch::Receiver<bool>) {
    // The sender lives as long as the proxy.
    let _ = disturbed.wait_for(|disturbed| !disturbed).await;
}

async fn pump(shared: &Shared, resource: &str, sender: &Sender, before: Option<OldList>, body: Body) {
    let mut disturbed = shared.disturbed.subscribe();
    if let Some(old) = before {
        for item in old.items {
            if !sender.line(format!("{}\n", json!({"type": "ADDED", "object": item}))).await {
                return;
            }
        }
        let metadata = json!({
            "resourceVersion": old.version, "annotations": {"k8s.io/initial-events-end": "true"},
        });
        let bookmark = json!({"type": "BOOKMARK", "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}});
        if !sender.line(format!("{bookmark}\n")).await {
            return;
        }
        lifted(&mut disturbed).await;
    }
    let mut chunks = body.into_data_stream();
    let mut buffer = Vec::new();
    let (mut number, mut skipped) = (0_usize, false);
    loop {
        let chunk = if skipped {
            tokio::select! {
                chunk = chunks.next() => chunk,
                () = lifted(&mut disturbed) => return sender.expire().await,
            }
        } else {
            chunks.next().await
        };
        let Some(Ok(chunk)) = chunk else { return };
        buffer.extend_from_slice(&chunk);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            number += 1;
            let view = match shared.view_of(resource) {
                Some(Fault::Watch { view, .. }) if *disturbed.borrow_and_update() => Some(view),
                _ => None,
            };
            if view.is_some() {
                shared.strike();
            }
            let listens = match view {
                Some(View::Frozen) => {
                    lifted(&mut disturbed).await;
                    sender.line(line).await
                }
                Some(View::Late(late)) => {
                    tokio::time::sleep(late).await;
                    sender.line(line).await
                }
                Some(View::Duplicated) => sender.line(line.clone()).await && sender.line(line).await,
                Some(View::Skipped) if number.is_multiple_of(2) && !is_bookmark(&line) => {
                    skipped = true;
                    true
                }
                Some(View::Expired) => {
                    sender.line(line).await;
                    return sender.expire().await;
                }
                Some(View::Cut) => {
                    sender.line(line[..line.len() / 2].to_vec()).await;
                    return sender.cut().await;
                }
                Some(View::Skipped) | None => sender.line(line).await,
            };
            if !listens {
                return;
            }
        }
    }
}

fn is_bookmark(line: &[u8]) -> bool {
    line.starts_with(br#"{"type":"BOOKMARK""#)
}

/// The first half of a body, and then the end of the connection.
pub fn cut_inside<B>(body: B) -> AnyBody
where
    B: hyper::body::Body<Data = Bytes, Error = ErrorBox> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let sender = Sender(sender);
        let mut chunks = std::pin::pin!(body.into_data_stream());
        if let Some(Ok(first)) = chunks.next().await {
            sender.line(first.slice(..first.len() / 2)).await;
        }
        sender.cut().await;
    });
    let frames =
        futures::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    StreamBody::new(frames.boxed()).boxed_unsync()
}

//! The API server's own request counts: `apiserver_request_total`.

use std::collections::BTreeMap;

use kube::Client;
use latchkey_tests::audit::Write;

/// Reads the request counters of the API server.
pub struct ApiServerMetrics {
    client: Client,
}

/// Requests by verb and resource; watches are left out.
#[derive(Debug, Clone, Default)]
pub struct Requests(BTreeMap<(String, String), u64>);

impl ApiServerMetrics {
    /// Reads them with this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The current counters. The request for them has no resource.
    pub async fn requests(&self) -> Requests {
        let request = http::Request::get("/metrics").body(Vec::new()).expect("a request");
        let text = self.client.request_text(request).await.expect("the API server's metrics");
        let mut requests = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
            let label = |name: &str| {
                let start = line.find(&format!("{name}=\""))? + name.len() + 2;
                line[start..].split('"').next().map(str::to_owned)
            };
            let (Some(verb), Some(mut resource)) = (label(",verb").or(label("verb")), label(",resource"))
            else {
                continue;
            };
            if let Some(subresource) = label("subresource").filter(|name| !name.is_empty()) {
                resource = format!("{resource}/{subresource}");
            }
            let count = line.rsplit(' ').next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
            if verb != "WATCH" && !resource.is_empty() {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter")]
                let count = count as u64;
                *requests.entry((resource, verb)).or_default() += count;
            }
        }
        Requests(requests)
    }
}

impl Requests {
    /// The writes in an audit log.
    pub fn of(writes: &[Write]) -> Self {
        let mut requests = BTreeMap::new();
        for write in writes {
            *requests.entry((write.resource.clone(), write.verb.to_uppercase())).or_default() += 1;
        }
        Self(requests)
    }

    /// The number of requests.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The requests since an earlier state.
    pub fn since(&self, before: &Self) -> Self {
        let added = self.0.iter().filter_map(|(key, count)| {
            let added = count - before.0.get(key).copied().unwrap_or(0);
            (added > 0).then(|| (key.clone(), added))
        });
        Self(added.collect())
    }
}

/// Prints them in one line.
pub fn show(what: &str, requests: &Requests) {
    let all = requests.total();
    let parts: Vec<String> =
        requests.0.iter().map(|((resource, verb), count)| format!("{resource} {verb} {count}")).collect();
    crate::say(&format!("{what}: {all}: {}", parts.join(", ")));
}

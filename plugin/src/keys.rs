//! `rotate-keys` and `revoke-keys`: the annotations that the operator processes, and their progress.

use std::collections::BTreeMap;
use std::process::ExitCode;

use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use latchkey_crds::AuthService;
use latchkey_crds::auth_service::{KeyPhase, SigningKeyStatus};
use serde_json::json;

use crate::cli::KeysArguments;
use crate::cluster::{Cluster, FIELD_MANAGER};
use crate::confirm::confirm;
use crate::failure::Failure;
use crate::output::{Printer, printable};

/// What is requested of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// A rotation, in which every token stays valid.
    Rotate,
    /// New keys immediately.
    Revoke,
}

impl Request {
    /// The name of the annotation without its prefix, which is also the key in `status.keyRequests`.
    fn name(self) -> &'static str {
        match self {
            Self::Rotate => "rotate-keys",
            Self::Revoke => "revoke-keys",
        }
    }

    fn question(self, service: &str) -> String {
        match self {
            Self::Rotate => format!("Rotate the signing keys of {service}? Tokens stay valid."),
            Self::Revoke => format!(
                "Revoke all signing keys of {service}? All tokens become invalid, and every user has to log in again."
            ),
        }
    }
}

/// Sets the annotation, and waits for the new key if the options say so.
pub async fn run(
    cluster: &Cluster,
    request: Request,
    options: &KeysArguments,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let before = cluster.auth_service(&options.name).await?;
    let service = format!("{}/{}", cluster.namespace, options.name);
    confirm(&request.question(&service), options.yes)?;
    let value = Timestamp::now().to_string();
    let annotation = format!("latchkey.dev/{}", request.name());
    let patch = json!({"metadata": {"annotations": {annotation: value}}});
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patched = cluster.api::<AuthService>().patch(&options.name, &parameters, &Patch::Merge(patch)).await;
    patched.map_err(|error| Failure::of_request(&format!("annotate the AuthService {service}"), &error))?;
    printer.print(&format!("{service}: {} requested\n", request.name()))?;
    if before.spec.paused {
        printer.note("Reconciling is paused: the operator processes the request when spec.paused is false.");
    }
    if !options.wait {
        return Ok(ExitCode::SUCCESS);
    }
    let mut progress = Progress { request, value, before: active(&before), shown: BTreeMap::new() };
    let waiting = wait(cluster, &options.name, &mut progress, printer);
    match tokio::time::timeout(options.timeout, waiting).await {
        Ok(result) => result.map(|()| ExitCode::SUCCESS),
        Err(_) => Err(Failure::TimedOut(format!(
            "the new key of {service} does not sign after {} seconds; kubectl latchkey status {} shows what the keys wait for",
            options.timeout.as_secs(),
            options.name
        ))),
    }
}

async fn wait(
    cluster: &Cluster,
    name: &str,
    progress: &mut Progress,
    printer: &Printer,
) -> Result<(), Failure> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    // A failed watch is started again; the time limit ends this.
    let mut changes =
        watcher(cluster.api::<AuthService>(), config).default_backoff().applied_objects().boxed();
    while let Some(change) = changes.next().await {
        let Ok(service) = change else { continue };
        for line in progress.changes(&service) {
            printer.print(&line)?;
        }
        if progress.is_complete(&service) {
            return Ok(());
        }
    }
    Err(Failure::Failed("the watch of the AuthService ended".to_owned()))
}

struct Progress {
    request: Request,
    /// The value of the annotation.
    value: String,
    /// The ids of the keys that signed before.
    before: Vec<String>,
    /// What was printed of each key.
    shown: BTreeMap<String, String>,
}

impl Progress {
    /// A line for each key that changed.
    fn changes(&mut self, service: &AuthService) -> Vec<String> {
        let mut lines = Vec::new();
        let keys = service.status.as_ref().map(|status| status.signing_keys.clone()).unwrap_or_default();
        let ids: Vec<&String> = keys.iter().map(|key| &key.kid).collect();
        let gone: Vec<String> = self.shown.keys().filter(|kid| !ids.contains(kid)).cloned().collect();
        for kid in gone {
            self.shown.remove(&kid);
            lines.push(format!("{kid} is removed\n"));
        }
        for key in &keys {
            let text = describe(key);
            if self.shown.insert(key.kid.clone(), text.clone()).as_ref() != Some(&text) {
                lines.push(format!("{} {text}\n", key.kid));
            }
        }
        lines
    }

    /// Whether the operator has processed the request, and a new key signs. After a revocation no earlier key is left.
    fn is_complete(&self, service: &AuthService) -> bool {
        let Some(status) = &service.status else { return false };
        let processed = status.key_requests.get(self.request.name()) == Some(&self.value);
        let signs_with_new = active(service).iter().any(|kid| !self.before.contains(kid));
        let is_old = |key: &SigningKeyStatus| self.before.contains(&key.kid);
        let old_are_gone = self.request == Request::Rotate || !status.signing_keys.iter().any(is_old);
        processed && signs_with_new && old_are_gone
    }
}

fn describe(key: &SigningKeyStatus) -> String {
    let phase = match key.phase {
        KeyPhase::Published => "is published",
        KeyPhase::Active => "signs",
        KeyPhase::Retiring => "is retiring",
    };
    match &key.waits_for {
        Some(what) => format!("{phase}: {}", printable(what)),
        None => phase.to_owned(),
    }
}

/// The ids of the keys that sign.
fn active(service: &AuthService) -> Vec<String> {
    let keys = service.status.iter().flat_map(|status| &status.signing_keys);
    keys.filter(|key| key.phase == KeyPhase::Active).map(|key| key.kid.clone()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn service(keys: &[(&str, &str)], handled: Option<&str>) -> AuthService {
        let keys: Vec<Value> = keys
            .iter()
            .map(|(kid, phase)| json!({"kid": kid, "phase": phase, "since": "2026-01-01T00:00:00Z"}))
            .collect();
        let handled: BTreeMap<&str, &str> = handled.into_iter().map(|value| ("rotate-keys", value)).collect();
        let status = json!({"signingKeys": keys, "keyRequests": handled});
        serde_json::from_value(json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": "a"}, "spec": {}, "status": status,
        }))
        .expect("an AuthService")
    }

    #[test]
    fn a_rotation_is_complete_when_another_key_signs() {
        let mut progress = Progress {
            request: Request::Rotate,
            value: "now".to_owned(),
            before: vec!["one".to_owned()],
            shown: BTreeMap::new(),
        };
        let steps = [
            (service(&[("one", "active")], None), false, vec!["one signs\n"]),
            (
                service(&[("one", "active"), ("two", "published")], Some("now")),
                false,
                vec!["two is published\n"],
            ),
            (
                service(&[("one", "retiring"), ("two", "active")], Some("now")),
                true,
                vec!["one is retiring\n", "two signs\n"],
            ),
            (service(&[("two", "active")], Some("now")), true, vec!["one is removed\n"]),
        ];
        for (service, complete, lines) in steps {
            assert_eq!(progress.changes(&service), lines);
            assert_eq!(progress.is_complete(&service), complete);
        }
        let revocation = Progress { request: Request::Revoke, ..progress };
        assert!(!revocation.is_complete(&service(&[("two", "active")], Some("now"))), "of another request");
    }
}

//! What is known of each `AuthService`, as metrics: read from the watch's store whenever somebody asks, so that
//! nothing has to be kept up to date and what is gone is gone.

use kube::ResourceExt;
use kube::runtime::reflector::Store;
use latchkey_crds::auth_service::KeyPhase;
use latchkey_crds::{AuthService, conditions};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGaugeVec, Opts};

const CONDITION: &str = "latchkey_operator_auth_service_condition";
const KEY_SINCE: &str = "latchkey_operator_signing_key_since_timestamp_seconds";

/// The values of the label `status`, as kube-state-metrics writes them.
const STATUSES: [(&str, &str); 3] = [("True", "true"), ("False", "false"), ("Unknown", "unknown")];

/// Reads the store. Only a replica that leads has one.
pub struct AuthServices {
    store: Store<AuthService>,
    descriptions: Vec<Desc>,
}

impl AuthServices {
    /// A collector over the store.
    ///
    /// # Errors
    /// When a name is malformed, which is a mistake in this file.
    pub fn new(store: Store<AuthService>) -> Result<Self, prometheus::Error> {
        let (conditions, keys) = empty()?;
        let descriptions = [conditions.desc(), keys.desc()].concat().into_iter().cloned().collect();
        Ok(Self { store, descriptions })
    }
}

impl Collector for AuthServices {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let all = self.store.state();
        // Its names have been tried in `new`.
        measure(all.iter().map(AsRef::as_ref)).unwrap_or_default()
    }
}

fn empty() -> Result<(IntGaugeVec, GaugeVec), prometheus::Error> {
    let conditions = IntGaugeVec::new(
        Opts::new(CONDITION, "1 for the status that a condition of an AuthService has, 0 for the others."),
        &["namespace", "name", "type", "status"],
    )?;
    let keys = GaugeVec::new(
        Opts::new(KEY_SINCE, "Since when a signing key has been in its phase, in seconds since 1970."),
        &["namespace", "name", "kid", "phase"],
    )?;
    Ok((conditions, keys))
}

/// The metrics of these.
fn measure<'a>(
    auth_services: impl Iterator<Item = &'a AuthService>,
) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let (conditions, keys) = empty()?;
    for auth_service in auth_services {
        let Some(status) = &auth_service.status else { continue };
        let (namespace, name) = (auth_service.namespace().unwrap_or_default(), auth_service.name_any());
        // Others may write conditions of their own into the status: their number has no bound.
        let known = status.conditions.iter().filter(|c| conditions::ALL.contains(&c.type_.as_str()));
        for condition in known {
            for (value, label) in STATUSES {
                conditions
                    .with_label_values(&[&*namespace, &*name, &*condition.type_, label])
                    .set(i64::from(condition.status == value));
            }
        }
        for key in &status.signing_keys {
            let since = key.since.0.as_millisecond();
            #[expect(clippy::cast_precision_loss, reason = "exact until the year 287396")]
            keys.with_label_values(&[&*namespace, &*name, &*key.kid, phase(key.phase)])
                .set(since as f64 / 1000.0);
        }
    }
    Ok([conditions.collect(), keys.collect()].concat())
}

fn phase(phase: KeyPhase) -> &'static str {
    match phase {
        KeyPhase::Published => "published",
        KeyPhase::Active => "active",
        KeyPhase::Retiring => "retiring",
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;
    use prometheus::{Registry, TextEncoder};
    use serde_json::json;

    use super::*;

    fn auth_service(name: &str, ready: &str) -> AuthService {
        let condition = |kind: &str, status: &str| {
            json!({
                "type": kind, "status": status, "reason": "Test", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        serde_json::from_value(json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService",
            "metadata": {"name": name, "namespace": "team-a"},
            "spec": {},
            "status": {
                "conditions": [condition("Ready", ready), condition("SomebodyElses", "True")],
                "signingKeys": [{"kid": "abc", "phase": "active", "since": "2026-01-01T00:00:00.5Z"}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn each_auth_service_is_shown_as_long_as_it_exists() {
        let (store, mut writer) = reflector::store();
        let registry = Registry::new();
        registry.register(Box::new(AuthServices::new(store).unwrap())).unwrap();
        let text = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert_eq!(text(), "", "no series without an AuthService");

        writer.apply_watcher_event(&Event::Apply(auth_service("auth", "False")));
        let with_one = text();
        for line in [
            r#"latchkey_operator_auth_service_condition{name="auth",namespace="team-a",status="false",type="Ready"} 1"#,
            r#"latchkey_operator_auth_service_condition{name="auth",namespace="team-a",status="true",type="Ready"} 0"#,
            r#"latchkey_operator_auth_service_condition{name="auth",namespace="team-a",status="unknown",type="Ready"} 0"#,
            r#"latchkey_operator_signing_key_since_timestamp_seconds{kid="abc",name="auth",namespace="team-a",phase="active"} 1767225600.5"#,
        ] {
            assert!(with_one.contains(line), "{line} is missing in\n{with_one}");
        }
        assert!(!with_one.contains("SomebodyElses"), "{with_one}");

        writer.apply_watcher_event(&Event::Delete(auth_service("auth", "False")));
        assert_eq!(text(), "");
    }
}

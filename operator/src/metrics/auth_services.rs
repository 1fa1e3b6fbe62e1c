//! The metrics of each `AuthService`, rendered from the cache on every scrape, so that they need no updates. A
//! thousand AuthServices have fifty thousand lines, which are rendered in chunks: as a whole, or as objects of the
//! metrics library, they would take more memory than everything else in the operator.

use std::fmt::Write;
use std::sync::Arc;

use kube::ResourceExt;
use latchkey_crds::auth_service::{KeyPhase, parse_seconds};
use latchkey_crds::{AuthService, AuthServiceStatus, conditions};

use crate::cluster::observed::Observed;
use crate::responsibility::{Foreign, Scope};

/// The number of AuthServices per chunk.
const CHUNK: usize = 16;

const FOREIGN: &str = "latchkey_operator_foreign_auth_services";

/// The values of the label `status`, as kube-state-metrics writes them.
const STATUSES: [(&str, &str); 3] = [("True", "true"), ("False", "false"), ("Unknown", "unknown")];

/// One metric over all AuthServices.
#[derive(Clone, Copy)]
struct Family {
    name: &'static str,
    help: &'static str,
    /// Writes the lines of one AuthService.
    lines: fn(&mut String, &'static str, &AuthService) -> std::fmt::Result,
}

const FAMILIES: [Family; 5] = [
    Family {
        name: "latchkey_operator_auth_service_autoscaled",
        help: "1 if the spec configures an autoscaler.",
        lines: write_autoscaled,
    },
    Family {
        name: "latchkey_operator_auth_service_condition",
        help: "1 for the current status of a condition of an AuthService, 0 for the others.",
        lines: write_conditions,
    },
    Family {
        name: "latchkey_operator_auth_service_on_hold",
        help: "1 if an AuthService is intentionally not Ready: because of a pause, or of a scale of 0.",
        lines: write_holds,
    },
    Family {
        name: "latchkey_operator_signing_key_rotation_period_seconds",
        help: "The age at which the active signing key is rotated (spec.tokens.keyRotation.interval).",
        lines: write_period,
    },
    Family {
        name: "latchkey_operator_signing_key_since_timestamp_seconds",
        help: "The time at which a signing key entered its phase, in seconds since 1970.",
        lines: write_keys,
    },
];

/// The metrics of these AuthServices in Prometheus text format, in chunks
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).
///
/// Those of other operators are only counted: each operator shows its own.
pub(super) fn parts(
    auth_services: Vec<Arc<Observed>>,
    scope: &Scope,
) -> impl Iterator<Item = String> + Send + use<> {
    let (own, foreign): (Vec<_>, Vec<_>) = auth_services
        .into_iter()
        .map(|auth_service| (scope.foreign(auth_service.salvaged()), auth_service))
        .partition(|(foreign, _)| foreign.is_none());
    let auth_services: Arc<[Arc<Observed>]> = own.into_iter().map(|(_, auth_service)| auth_service).collect();
    let mut count = format!(
        "# HELP {FOREIGN} AuthServices that another operator reconciles, by the reason.\n# TYPE {FOREIGN} gauge\n"
    );
    for reason in Foreign::ALL {
        let number = foreign.iter().filter(|(found, _)| *found == Some(reason)).count();
        // Writing to a string does not fail.
        let _ = writeln!(count, r#"{FOREIGN}{{reason="{}"}} {number}"#, reason.as_str());
    }
    std::iter::once(count).chain(FAMILIES.into_iter().flat_map(move |family| {
        let auth_services = auth_services.clone();
        let Family { name, help, .. } = family;
        let head = format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        let starts = (0..auth_services.len()).step_by(CHUNK);
        std::iter::once(head).chain(starts.map(move |start| {
            let end = auth_services.len().min(start + CHUNK);
            let mut text = String::new();
            for auth_service in &auth_services[start..end] {
                // Writing to a string does not fail.
                let _ = (family.lines)(&mut text, name, auth_service.salvaged());
            }
            text
        }))
    }))
}

fn write_conditions(text: &mut String, metric: &str, auth_service: &AuthService) -> std::fmt::Result {
    let owner = owner(auth_service);
    // Other writers can add conditions without limit.
    let stated = auth_service.status.iter().flat_map(|status| &status.conditions);
    for condition in stated.filter(|condition| conditions::ALL.contains(&condition.type_.as_str())) {
        for (value, label) in STATUSES {
            let holds = u8::from(condition.status == value);
            let kind = &condition.type_;
            writeln!(text, r#"{metric}{{{owner},status="{label}",type="{kind}"}} {holds}"#)?;
        }
    }
    Ok(())
}

fn write_keys(text: &mut String, metric: &str, auth_service: &AuthService) -> std::fmt::Result {
    let owner = owner(auth_service);
    for key in auth_service.status.iter().flat_map(|status| &status.signing_keys) {
        let since = key.since.0.as_millisecond();
        #[expect(clippy::cast_precision_loss, reason = "exact until the year 287396")]
        let since = since as f64 / 1000.0;
        let (kid, phase) = (escaped(&key.kid), phase(key.phase));
        writeln!(text, r#"{metric}{{kid="{kid}",{owner},phase="{phase}"}} {since}"#)?;
    }
    Ok(())
}

fn write_autoscaled(text: &mut String, metric: &str, auth_service: &AuthService) -> std::fmt::Result {
    let spec = &auth_service.spec;
    let load_decides = spec.autoscaling.is_some() && spec.replicas > 0;
    writeln!(text, "{metric}{{{}}} {}", owner(auth_service), u8::from(load_decides))
}

fn write_holds(text: &mut String, metric: &str, auth_service: &AuthService) -> std::fmt::Result {
    let Some(status) = &auth_service.status else { return Ok(()) };
    let (owner, by) = (owner(auth_service), on_hold(status));
    for cause in [PAUSE, SCALE] {
        writeln!(text, r#"{metric}{{by="{cause}",{owner}}} {}"#, u8::from(by == Some(cause)))?;
    }
    Ok(())
}

fn write_period(text: &mut String, metric: &str, auth_service: &AuthService) -> std::fmt::Result {
    let Ok(seconds) = parse_seconds(&auth_service.spec.tokens.key_rotation.interval) else { return Ok(()) };
    writeln!(text, "{metric}{{{}}} {seconds}", owner(auth_service))
}

const PAUSE: &str = "pause";
const SCALE: &str = "scale";

/// Why an AuthService is intentionally not Ready. A pause explains pending changes, but not replicas that are not
/// ready.
fn on_hold(status: &AuthServiceStatus) -> Option<&'static str> {
    let ready = status.conditions.iter().find(|condition| condition.type_ == conditions::READY)?;
    match ready.reason.as_str() {
        "ScaledToZero" => Some(SCALE),
        "Paused" if status.ready_replicas > 0 || status.replicas == 0 => Some(PAUSE),
        _ => None,
    }
}

fn owner(auth_service: &AuthService) -> String {
    let (name, namespace) = (auth_service.name_any(), auth_service.namespace().unwrap_or_default());
    format!(r#"name="{}",namespace="{}""#, escaped(&name), escaped(&namespace))
}

/// Escapes a label value; other writers can change a status.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
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
                "conditions": [condition("Ready", ready), condition("OfAnotherController", "True")],
                "signingKeys": [{"kid": "abc", "phase": "active", "since": "2026-01-01T00:00:00.5Z"}],
            },
        }))
        .unwrap()
    }

    fn scope() -> Scope {
        Scope { class: None, selector: kube::core::Selector::default(), identity: "us/op".to_owned() }
    }

    fn text(auth_services: Vec<AuthService>) -> String {
        parts(auth_services.into_iter().map(Observed::from).map(Arc::new).collect(), &scope()).collect()
    }

    #[test]
    fn on_hold_is_intended_and_no_outage() {
        let status = |ready: &str, reason: &str, replicas: i32, ready_replicas: i32| -> AuthServiceStatus {
            let mut status = auth_service("auth", ready).status.unwrap();
            status.conditions[0].reason = reason.to_owned();
            AuthServiceStatus { replicas, ready_replicas, ..status }
        };
        assert_eq!(on_hold(&status("False", "ScaledToZero", 0, 0)), Some(SCALE));
        assert_eq!(on_hold(&status("False", "Paused", 2, 1)), Some(PAUSE));
        assert_eq!(on_hold(&status("False", "Paused", 0, 0)), Some(PAUSE), "it began paused");
        assert_eq!(on_hold(&status("False", "Paused", 2, 0)), None, "no replica is ready");
        assert_eq!(on_hold(&status("False", "ReplicasNotReady", 2, 1)), None);
        assert_eq!(on_hold(&status("True", "Available", 2, 2)), None);
        assert_eq!(on_hold(&AuthServiceStatus::default()), None);
    }

    #[test]
    fn each_auth_service_is_shown() {
        assert!(
            !text(Vec::new()).lines().any(|line| !line.starts_with('#') && !line.starts_with(FOREIGN)),
            "series without an AuthService"
        );
        let shown = text(vec![auth_service("auth", "False")]);
        for line in [
            r#"latchkey_operator_auth_service_condition{name="auth",namespace="team-a",status="false",type="Ready"} 1"#,
            r#"latchkey_operator_auth_service_condition{name="auth",namespace="team-a",status="true",type="Ready"} 0"#,
            r#"latchkey_operator_auth_service_condition{name="auth",namespace="team-a",status="unknown",type="Ready"} 0"#,
            r#"latchkey_operator_signing_key_since_timestamp_seconds{kid="abc",name="auth",namespace="team-a",phase="active"} 1767225600.5"#,
            r#"latchkey_operator_signing_key_rotation_period_seconds{name="auth",namespace="team-a"} 2592000"#,
            r#"latchkey_operator_auth_service_autoscaled{name="auth",namespace="team-a"} 0"#,
            r#"latchkey_operator_auth_service_on_hold{by="pause",name="auth",namespace="team-a"} 0"#,
            r#"latchkey_operator_auth_service_on_hold{by="scale",name="auth",namespace="team-a"} 0"#,
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} is missing in\n{shown}");
        }
        assert!(!shown.contains("OfAnotherController"), "{shown}");
    }

    #[test]
    fn those_of_other_operators_are_only_counted() {
        let mut other = auth_service("other", "True");
        other.spec.operator_class = Some("blue".to_owned());
        let mut claimed = auth_service("claimed", "True");
        claimed.status.as_mut().unwrap().operator = Some("they/op".to_owned());
        let shown = text(vec![other, claimed]);
        for (reason, count) in [("class", 1), ("selector", 0), ("claimed", 1)] {
            let line = format!(r#"{FOREIGN}{{reason="{reason}"}} {count}"#);
            assert!(shown.contains(&line), "{shown}");
        }
        assert!(!shown.contains("name="), "{shown}");
    }

    #[test]
    fn many_are_shown_in_parts_with_each_metric_in_one_piece() {
        let number = 10 * CHUNK + 1;
        let many: Vec<_> =
            (0..number).map(|number| Arc::new(auth_service(&number.to_string(), "True").into())).collect();
        assert!(parts(many.clone(), &scope()).all(|part| part.lines().count() <= 3 * CHUNK));
        let whole: String = parts(many, &scope()).filter(|part| !part.contains(FOREIGN)).collect();
        let metrics: Vec<&str> = whole
            .lines()
            .filter_map(|line| line.split(['{']).next())
            .filter(|name| !name.starts_with('#'))
            .collect();
        assert_eq!(metrics.len(), 8 * number);
        assert!(metrics.is_sorted(), "the lines of a metric lie apart");
    }

    #[test]
    fn a_label_value_is_escaped() {
        let mut strange = auth_service("auth", "True");
        strange.status.as_mut().unwrap().signing_keys[0].kid = "a\"} 1\n\\".to_owned();
        let text = text(vec![strange]);
        assert!(text.lines().any(|line| line.contains(r#"{kid="a\"} 1\n\\","#)), "{text}");
    }
}

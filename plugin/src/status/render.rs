//! The status of one AuthService as text.

use std::fmt::Write as _;

use latchkey_crds::auth_service::KeyPhase;
use latchkey_crds::conditions as types;

use super::facts::{ConditionStatus, PodStatus, ServiceStatus, Warning};
use crate::output::{Cell, Printer, Tone, printable};

/// The status as text.
pub fn render(status: &ServiceStatus, printer: &Printer) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", heading(status, printer));
    let sections = [
        conditions_table(&status.conditions, printer),
        keys(status, printer),
        pods(status, printer),
        warnings_table(&status.warnings, printer),
    ];
    for section in sections {
        if !section.is_empty() {
            let _ = write!(text, "\n{section}");
        }
    }
    text
}

fn heading(status: &ServiceStatus, printer: &Printer) -> String {
    let name = printer.paint(&format!("{}/{}", status.namespace, status.name), Tone::Strong);
    let (word, tone) = match (status.ready, status.paused, status.current) {
        (_, true, _) => ("Paused", Tone::Notice),
        (_, _, false) => ("not processed by the operator yet", Tone::Notice),
        (true, ..) => ("Ready", Tone::Good),
        (false, ..) => ("not Ready", Tone::Bad),
    };
    let mut parts = vec![
        printer.paint(word, tone),
        format!("{} of {} replicas ready", status.ready_replicas, status.replicas),
    ];
    parts.extend(status.version.as_ref().map(|version| format!("version {}", printable(version))));
    parts.extend(status.schema_version.map(|version| format!("schema {version}")));
    parts.extend(status.endpoint.as_deref().map(printable));
    format!("{name}: {}", parts.join(", "))
}

/// The conditions; empty if there are none.
pub fn conditions_table(conditions: &[ConditionStatus], printer: &Printer) -> String {
    if conditions.is_empty() {
        return String::new();
    }
    let mut rows = vec![header(&["CONDITION", "STATUS", "REASON", "MESSAGE"])];
    rows.extend(conditions.iter().map(|condition| {
        let tone = tone(condition);
        vec![
            Cell::plain(&condition.type_),
            Cell::new(&condition.status, tone),
            Cell::new(&condition.reason, tone),
            Cell::plain(&condition.message),
        ]
    }));
    printer.table(&rows)
}

/// Whether a status is good depends on the type.
fn tone(condition: &ConditionStatus) -> Tone {
    const GOOD_IF_FALSE: [&str; 3] = [types::STALLED, types::PAUSED, types::DATABASE_SHARED];
    const NEUTRAL: [&str; 3] = [types::PROGRESSING, types::RECONCILING, types::EMBEDDED_STORES];
    let kind = condition.type_.as_str();
    match condition.status.as_str() {
        "True" if kind == types::STALLED => Tone::Bad,
        "True" if NEUTRAL.contains(&kind) || GOOD_IF_FALSE.contains(&kind) => Tone::Notice,
        "True" => Tone::Good,
        "False" if NEUTRAL.contains(&kind) || GOOD_IF_FALSE.contains(&kind) => Tone::Faint,
        "False" => Tone::Bad,
        _ => Tone::Notice,
    }
}

fn keys(status: &ServiceStatus, printer: &Printer) -> String {
    if status.signing_keys.is_empty() {
        return String::new();
    }
    let mut rows = vec![header(&["KEY", "PHASE", "SINCE", "WAITS FOR"])];
    rows.extend(status.signing_keys.iter().map(|key| {
        let (phase, tone) = describe_phase(key.phase);
        vec![
            Cell::plain(&key.kid),
            Cell::new(phase, tone),
            Cell::plain(key.since.0.to_string()),
            Cell::plain(key.waits_for.as_deref().unwrap_or_default()),
        ]
    }));
    printer.table(&rows)
}

/// The name of a phase as the status writes it.
pub fn describe_phase(phase: KeyPhase) -> (&'static str, Tone) {
    match phase {
        KeyPhase::Published => ("published", Tone::Notice),
        KeyPhase::Active => ("active", Tone::Good),
        KeyPhase::Retiring => ("retiring", Tone::Faint),
    }
}

fn pods(status: &ServiceStatus, printer: &Printer) -> String {
    let mut rows = vec![header(&["POD", "COMPONENT", "STATE", "RESTARTS", "NODE", "WAITS FOR"])];
    rows.extend(status.pods.iter().map(|pod| {
        let (state, tone) = state(pod);
        vec![
            Cell::plain(&pod.name),
            Cell::plain(&pod.component),
            Cell::new(state, tone),
            Cell::plain(pod.restarts.to_string()),
            Cell::plain(pod.node.as_deref().unwrap_or("-")),
            Cell::plain(pod.waits_for.as_deref().unwrap_or_default()),
        ]
    }));
    let mut text =
        if status.pods.is_empty() { "There are no pods.\n".to_owned() } else { printer.table(&rows) };
    if let Some(why) = &status.not_created {
        let _ = writeln!(
            text,
            "{}",
            printer.paint(&format!("Pods are not created: {}", printable(why)), Tone::Bad)
        );
    }
    text
}

fn state(pod: &PodStatus) -> (&str, Tone) {
    match (pod.ready, pod.phase.as_str()) {
        (true, _) => ("Ready", Tone::Good),
        (false, "Succeeded") => ("Succeeded", Tone::Faint),
        (false, "Failed") => ("Failed", Tone::Bad),
        (false, phase) => (phase, Tone::Notice),
    }
}

/// The warnings; empty if there are none.
pub fn warnings_table(warnings: &[Warning], printer: &Printer) -> String {
    if warnings.is_empty() {
        return String::new();
    }
    let mut rows = vec![header(&["WARNING", "OBJECT", "COUNT", "MESSAGE"])];
    rows.extend(warnings.iter().map(|warning| {
        vec![
            Cell::new(&warning.reason, Tone::Notice),
            Cell::plain(&warning.object),
            Cell::plain(warning.count.to_string()),
            Cell::plain(&warning.message),
        ]
    }));
    printer.table(&rows)
}

/// The first line of a table.
pub fn header(names: &[&str]) -> Vec<Cell> {
    names.iter().map(|name| Cell::new(name, Tone::Strong)).collect()
}

//! The status of AuthClients as text.

use std::fmt::Write as _;

use super::facts::{ClientStatus, SecretStatus, age};
use crate::output::{Cell, Printer, Tone};
use crate::status::{conditions_table, header, warnings_table};

/// A line for each AuthClient.
pub fn list(clients: &[ClientStatus], all_namespaces: bool, printer: &Printer) -> String {
    let mut names = vec!["NAME", "READY", "REASON", "CLIENT ID", "AUTHSERVICE", "SECRET AGE", "ROTATION"];
    if all_namespaces {
        names.insert(0, "NAMESPACE");
    }
    let mut rows = vec![header(&names)];
    rows.extend(clients.iter().map(|client| {
        let ready = client.ready_condition();
        let (status, reason) =
            ready.map_or(("Unknown", ""), |ready| (ready.status.as_str(), ready.reason.as_str()));
        let tone = if client.ready { Tone::Good } else { Tone::Bad };
        let secret = client.secret.as_ref();
        let (due, due_tone) = secret.and_then(rotation).unwrap_or_else(|| ("-".to_owned(), Tone::Plain));
        let mut cells = vec![
            Cell::plain(&client.name),
            Cell::new(status, tone),
            Cell::new(reason, tone),
            Cell::plain(&client.client_id),
            Cell::plain(&client.auth_service),
            Cell::plain(secret.and_then(|secret| secret.age_seconds).map_or("-".to_owned(), age)),
            Cell::new(due, due_tone),
        ];
        if all_namespaces {
            cells.insert(0, Cell::plain(&client.namespace));
        }
        cells
    }));
    printer.table(&rows)
}

/// When the secret is rotated, if it is rotated by itself.
fn rotation(secret: &SecretStatus) -> Option<(String, Tone)> {
    let seconds = secret.rotation_due_in_seconds?;
    Some(if seconds < 0 {
        (format!("overdue by {}", age(-seconds)), Tone::Bad)
    } else {
        (format!("in {}", age(seconds)), Tone::Plain)
    })
}

/// One AuthClient in full.
pub fn status(client: &ClientStatus, printer: &Printer) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", heading(client, printer));
    let sections = [
        conditions_table(&client.conditions, printer),
        secret(client, printer),
        notes(client, printer),
        warnings_table(&client.warnings, printer),
    ];
    for section in sections {
        if !section.is_empty() {
            let _ = write!(text, "\n{section}");
        }
    }
    text
}

fn heading(client: &ClientStatus, printer: &Printer) -> String {
    let name = printer.paint(&format!("{}/{}", client.namespace, client.name), Tone::Strong);
    let (word, tone) = match (client.current, client.ready) {
        (false, _) => ("not processed by the operator yet", Tone::Notice),
        (true, true) => ("Ready", Tone::Good),
        (true, false) => ("not Ready", Tone::Bad),
    };
    format!(
        "{name}: {}, client id {}, {}, AuthService {}",
        printer.paint(word, tone),
        crate::output::printable(&client.client_id),
        client.client_type,
        client.auth_service
    )
}

fn secret(client: &ClientStatus, printer: &Printer) -> String {
    let Some(secret) = &client.secret else { return String::new() };
    let (due, tone) = rotation(secret).unwrap_or_else(|| {
        let how = if secret.generated { "on request" } else { "by its owner" };
        (how.to_owned(), Tone::Plain)
    });
    let rows = [
        header(&["SECRET", "AGE", "GENERATED", "ROTATION"]),
        vec![
            Cell::plain(&secret.name),
            Cell::plain(secret.age_seconds.map_or("-".to_owned(), age)),
            Cell::plain(secret.rotated_at.as_deref().unwrap_or("-")),
            Cell::new(due, tone),
        ],
    ];
    printer.table(&rows)
}

/// What the operator has still to do, and what it cannot.
fn notes(client: &ClientStatus, printer: &Printer) -> String {
    let mut lines = Vec::new();
    for name in &client.requested {
        lines.push(format!("The operator has not finished {name}."));
    }
    if client.auth_service_paused == Some(true) {
        lines.push(format!(
            "The AuthService {} is paused: changes take effect when its spec.paused is false.",
            client.auth_service
        ));
    }
    let end = client.secret.as_ref().and_then(|secret| secret.previous_works_until.as_ref());
    lines.extend(end.map(|end| {
        format!("A previous client secret works until {end}, unless it is revoked (clients revoke-previous).")
    }));
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{}", printer.paint(line, Tone::Notice));
        text
    })
}

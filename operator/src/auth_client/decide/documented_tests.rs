//! Every status and reason of every condition, compared with docs/reference/authclient.md in both directions.

use std::collections::BTreeSet;

use super::*;
use crate::auth_service::problem::Problem;
use crate::registrations::{View, Written};

type State = (String, String, String);

fn documented() -> BTreeSet<State> {
    let page = include_str!("../../../../docs/reference/authclient.md");
    let (_, page) = page.split_once("## Conditions").unwrap();
    let page = page.split("\n## ").next().unwrap();
    let mut listed = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        for reason in cells[3].split(", ") {
            let reason = reason.trim_matches('`').to_owned();
            assert!(listed.insert((cells[1].to_owned(), cells[2].to_owned(), reason)), "{row}");
        }
    }
    listed
}

fn worlds() -> Vec<Facts> {
    let good = Facts {
        service: "identity/auth".to_owned(),
        accepted: Ok("orders".to_owned()),
        secret: SecretState::Generated { name: "orders-oauth".to_owned(), rotating: false },
        registered: Registered::View(View::InForce),
        deleting: false,
    };
    let problem = |reason| Problem::new(reason, "why");
    let mut worlds = vec![good.clone(), Facts { deleting: true, ..good.clone() }];
    for reason in ["NotAllowed", "Invalid", "ClientIdTaken", "TooManyClients", "WorkloadIdentityDisabled"] {
        let (accepted, secret) = (Err(problem(reason)), SecretState::NotDecided);
        worlds.push(Facts { accepted, secret, ..good.clone() });
    }
    let name = || "a".to_owned();
    let mut secrets = vec![
        SecretState::NotRequired,
        SecretState::Found { name: name() },
        SecretState::Generated { name: name(), rotating: true },
    ];
    for reason in
        ["SecretMissing", "SecretKeyMissing", "SecretInvalid", "NameConflict", "ApplyRefused", "Contested"]
    {
        secrets.push(SecretState::Problem(problem(reason)));
    }
    worlds.extend(secrets.into_iter().map(|secret| Facts { secret, ..good.clone() }));
    for view in [
        View::Pending(Written::Yes),
        View::Pending(Written::No),
        View::Pending(Written::Paused),
        View::NoReplicas,
        View::Loading { loaded: 1, replicas: 2, unsupported: false },
        View::Loading { loaded: 1, replicas: 2, unsupported: true },
    ] {
        worlds.push(Facts { registered: Registered::View(view), ..good.clone() });
    }
    let (registered, secret) = (Registered::Unknown, SecretState::Problem(problem("SecretMissing")));
    worlds.push(Facts { secret, registered, ..good });
    worlds
}

#[test]
fn the_documentation_lists_every_status_and_reason() {
    let mut decided = BTreeSet::new();
    for facts in worlds() {
        for Stated { type_, status, reason, message } in decide_conditions(&facts) {
            assert!(!message.is_empty());
            decided.insert((type_.to_owned(), status.to_owned(), reason.to_owned()));
        }
    }
    let documented = documented();
    let (missing, stale): (Vec<_>, Vec<_>) =
        (decided.difference(&documented).collect(), documented.difference(&decided).collect());
    assert!(missing.is_empty() && stale.is_empty(), "not documented: {missing:?}; not decided: {stale:?}");
}

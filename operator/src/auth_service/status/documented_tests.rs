//! Every status and reason of every condition, compared with docs/reference/conditions.md in both directions.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use kube::core::DynamicObject;
use kube::core::metadata::ObjectMeta;
use latchkey_crds::conditions as types;
use serde_json::{Value, json};

use super::tests::{World, deployment, waiting_pod};
use super::{unreadable, workload_identity_tests};
use crate::auth_service::autoscaler::Autoscaler;
use crate::auth_service::certificate::Certificate;
use crate::auth_service::fixtures::{auth_service, embedded, full, full_spec, validated};
use crate::auth_service::problem::Problem;
use crate::auth_service::render::Schema;
use crate::auth_service::server_reports::{Answer, DatabasePool, Dependency, Fault, Revocation};
use crate::auth_service::shared_database::{Other, Sharing};
use crate::auth_service::warnings::Store;
use crate::cluster::cache::{Optional, Presence};
use crate::cluster::kinds::Kind;
use crate::names::Component;
use crate::signing_keys::{KeyMaterial, Progress};

/// Type, status and reason.
type State = (String, String, String);

/// The problems with a referenced Secret.
const SECRETS: [&str; 3] = ["SecretMissing", "SecretKeyMissing", "SecretInvalid"];
/// The problems with `spec.trustedCAs`.
const TRUSTED_CAS: [&str; 4] = ["ConfigMapMissing", "ConfigMapKeyMissing", "ConfigMapInvalid", "InvalidSpec"];

fn documented() -> BTreeSet<State> {
    let page = include_str!("../../../../docs/reference/conditions.md");
    let mut listed = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').collect();
        let type_ = cells[1].trim().trim_matches('`');
        // Without the explanations in parentheses.
        let plain: String =
            cells[2].split('(').map(|part| part.split_once(')').map_or(part, |(_, after)| after)).collect();
        for group in plain.split('·') {
            let mut parts = group.splitn(3, '`').skip(1);
            let (status, rest) = (parts.next().unwrap(), parts.next().unwrap());
            // The code spans in an explanation are types of other conditions.
            let words: String = rest.split('`').step_by(2).collect();
            for word in words.split(|character: char| !character.is_ascii_alphabetic()) {
                if word.starts_with(|first: char| first.is_ascii_uppercase()) {
                    listed.insert((type_.to_owned(), status.to_owned(), word.to_owned()));
                }
            }
        }
    }
    listed
}

fn changed(change: impl FnOnce(&mut World)) -> World {
    let mut world = World::healthy();
    change(&mut world);
    world
}

fn with_spec(spec: Value) -> World {
    changed(|world| world.service = validated(&auth_service(spec), embedded()))
}

fn object(status: &Value) -> DynamicObject {
    DynamicObject { types: None, metadata: ObjectMeta::default(), data: json!({"status": status}) }
}

fn presence(world: &mut World, kind: Kind, presence: Presence) {
    world.external_state.optional = Optional::default().with(kind, presence);
}

fn problem(reason: &'static str) -> Problem {
    Problem::new(reason, "why")
}

/// What blocks the progress of a service.
fn blocked() -> Vec<World> {
    let mut worlds = Vec::new();
    for reason in SECRETS.into_iter().chain(TRUSTED_CAS) {
        worlds.push(changed(|world| world.service.secrets = Err(problem(reason))));
    }
    for reason in ["InvalidSpec", "DatabaseShared", "ConfigMapMissing", "CredentialsLost"] {
        worlds.push(changed(|world| world.service.server = Err(problem(reason))));
    }
    worlds.push(changed(|world| world.applied.refused = vec![problem("ApplyRefused")]));
    worlds.push(changed(|world| {
        world.applied.name_conflicts = vec![(Kind::Secret, world.service.names.jwt_keys())];
    }));
    worlds.push(changed(|world| world.service.keys = KeyMaterial::Lost("why".to_owned())));
    for pending in [false, true] {
        let mut paused = with_spec(json!({"paused": true}));
        paused.applied.pending = pending;
        let keys = paused.service.keys.key_set().unwrap().clone();
        paused.service.keys = KeyMaterial::Generated(keys);
        worlds.push(paused);
    }
    worlds
}

fn migrations() -> Vec<World> {
    let migrating = |change: &dyn Fn(&mut World)| {
        changed(|world| {
            world.applied.schema = Schema::Migrating;
            change(world);
        })
    };
    let failed = json!({"terminated": {"exitCode": 1, "message": "why"}});
    let failed: k8s_openapi::api::core::v1::Pod = serde_json::from_value(json!({
        "metadata": {"name": "m"},
        "status": {"containerStatuses": [{"name": "m", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": failed}]},
    }))
    .unwrap();
    vec![
        migrating(&|_| {}),
        migrating(&|world| world.external_state.migration_pods = vec![waiting_pod("m", "ImagePullBackOff")]),
        migrating(&|world| world.external_state.migration_pods = vec![failed.clone()]),
        changed(|world| world.applied.schema = Schema::WaitingForDatabase),
        changed(|world| {
            world.applied.schema = Schema::WaitingForDatabase;
            world.external_state.stores = vec![broken_store()];
        }),
        changed(|world| world.applied.schema = Schema::Failed("why".to_owned())),
        changed(|world| world.applied.schema = Schema::Blocked(problem("Paused"))),
    ]
}

fn broken_store() -> Store {
    let stateful_set = json!({"metadata": {"name": "s"}, "spec": {"selector": {}, "template": {}}});
    let stateful_set = serde_json::from_value(stateful_set).unwrap();
    Store { component: Component::Postgres, stateful_set, pods: vec![waiting_pod("s-0", "ErrImagePull")] }
}

fn rollouts() -> Vec<World> {
    let refused = json!([{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]);
    let stuck = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
    vec![
        World::healthy(),
        changed(|world| world.applied.deployment = None),
        changed(|world| world.applied.deployment = Some(deployment(1, 0))),
        changed(|world| {
            world.applied.deployment = Some(deployment(1, 0));
            world.external_state.pods = vec![waiting_pod("p", "ErrImagePull")];
        }),
        changed(|world| {
            let mut deployment = deployment(1, 0);
            deployment.status.as_mut().unwrap().conditions = serde_json::from_value(refused).unwrap();
            world.applied.deployment = Some(deployment);
        }),
        changed(|world| {
            let mut deployment = deployment(1, 0);
            deployment.status.as_mut().unwrap().conditions = serde_json::from_value(stuck).unwrap();
            world.applied.deployment = Some(deployment);
        }),
        changed(|world| world.applied.queued = Some(10)),
        changed(|world| {
            world.applied.deployment = Some(deployment(2, 1));
            world.template_observed = true;
            world.before.conditions = serde_json::from_value(json!([{
                "type": "Ready", "status": "True", "reason": "Available", "message": "",
                "lastTransitionTime": "1970-01-01T00:00:00Z",
            }]))
            .unwrap();
        }),
        {
            let mut world = with_spec(json!({"replicas": 0}));
            world.applied.deployment = Some(deployment(0, 0));
            world
        },
    ]
}

fn reports() -> Vec<World> {
    let unready = |reason: Option<&str>| Dependency {
        ready: false,
        message: "why".to_owned(),
        reason: reason.map(str::to_owned),
    };
    let reported = |name: &str, dependency: Dependency| {
        changed(|world| {
            world.report().dependencies.insert(name.to_owned(), dependency);
        })
    };
    let with_mail = || {
        let service = validated(&auth_service(full_spec()), full());
        World { service, ..World::healthy() }
    };
    let probed = |ready: bool| {
        let mut world = with_spec(json!({"loginProbe": {"enabled": true}}));
        world.report().dependencies.insert("login".to_owned(), Dependency { ready, ..unready(None) });
        world
    };
    let mut mail_fails = with_mail();
    mail_fails.report().dependencies.insert("mail".to_owned(), unready(None));
    let mut silent = with_mail();
    silent.external_state.answers.clear();
    vec![
        reported("database", unready(None)),
        reported("database", unready(Some("read_only"))),
        changed(|world| {
            world.report().database_pool = Some(DatabasePool { warning: "why".to_owned() });
        }),
        reported("redis", unready(None)),
        changed(|world| {
            world.report().revocation =
                Some(Revocation { mode: "postgres".to_owned(), message: "why".to_owned() });
        }),
        changed(|world| world.report().signing_keys.clear()),
        changed(|world| world.service.rotation.status.progress = Progress::Rotating("why".to_owned())),
        changed(|world| world.service.rotation.status.progress = Progress::ReplicaLags("why".to_owned())),
        with_mail(),
        mail_fails,
        silent,
        with_spec(json!({"loginProbe": {"enabled": false}})),
        with_spec(json!({"loginProbe": {"enabled": true}})),
        probed(true),
        probed(false),
    ]
}

fn stores() -> Vec<World> {
    let mut held = World::healthy();
    held.service.postgres.as_mut().unwrap().held_back = Some("postgres:18".to_owned());
    vec![
        held,
        changed(|world| world.external_state.stores = vec![broken_store()]),
        with_spec(json!({"database": {"embedded": {"storage": "1Gi"}}})),
        changed(|world| world.external_state.sharing = Sharing::Allowed(Other::Elsewhere)),
        changed(|world| world.external_state.sharing = Sharing::Undecided(Other::Elsewhere)),
        changed(|world| {
            world.external_state.sharing = Sharing::Refused { other: Other::Elsewhere, for_now: true }
        }),
    ]
}

fn optional_features() -> Vec<World> {
    let mut worlds = Vec::new();
    worlds.push(with_spec(json!({"monitoring": {"serviceMonitor": {"enabled": false}}})));
    let monitored = || with_spec(json!({"monitoring": {"serviceMonitor": {"enabled": true}}}));
    for found in [Presence::Present, Presence::Absent, Presence::Unknown] {
        let mut world = monitored();
        presence(&mut world, Kind::ServiceMonitor, found);
        worlds.push(world);
    }
    let mut conflict = monitored();
    presence(&mut conflict, Kind::ServiceMonitor, Presence::Present);
    conflict.applied.name_conflicts = vec![(Kind::ServiceMonitor, "demo".to_owned())];
    worlds.push(conflict);

    let autoscaled = || with_spec(json!({"autoscaling": {"maxReplicas": 9}}));
    let why = || "why".to_owned();
    for reported in [
        Autoscaler::NotReported,
        Autoscaler::Waiting(why()),
        Autoscaler::WithoutMetrics(why()),
        Autoscaler::CannotScale(why()),
        Autoscaler::ScaledToZero,
        Autoscaler::AtMaximum,
        Autoscaler::Active,
    ] {
        let mut world = autoscaled();
        world.external_state.autoscaler = Some(reported);
        worlds.push(world);
    }
    let mut early = autoscaled();
    early.applied.deployment = None;
    let mut conflict = autoscaled();
    conflict.applied.name_conflicts = vec![(Kind::HorizontalPodAutoscaler, "demo".to_owned())];
    worlds.push(early);
    worlds.push(conflict);
    worlds
}

fn exposures() -> Vec<World> {
    let ingress = |tls: Value| with_spec(json!({"exposure": {"ingress": {"host": "a.example", "tls": tls}}}));
    let mut worlds = vec![with_spec(json!({"exposure": {}}))];
    for reason in SECRETS {
        let mut world = ingress(json!({"secretName": "tls"}));
        world.external_state.exposure.tls = Some(Err(problem(reason)));
        worlds.push(world);
    }
    for certificate in [
        Certificate::Valid(Timestamp::UNIX_EPOCH),
        Certificate::ExpiresSoon(Timestamp::UNIX_EPOCH),
        Certificate::Expired(Timestamp::UNIX_EPOCH),
        Certificate::NotYetValid(Timestamp::UNIX_EPOCH),
        Certificate::WrongHost("a.example".to_owned()),
        Certificate::Unreadable,
    ] {
        let mut world = ingress(json!({"secretName": "tls"}));
        world.external_state.exposure.tls = Some(Ok(certificate));
        worlds.push(world);
    }
    for found in [Presence::Present, Presence::Absent, Presence::Unknown] {
        let mut world = ingress(json!({"certificate": {"issuerRef": {"name": "ca"}}}));
        presence(&mut world, Kind::Certificate, found);
        worlds.push(world);
    }
    let mut issued = ingress(json!({"certificate": {"issuerRef": {"name": "ca"}}}));
    presence(&mut issued, Kind::Certificate, Presence::Present);
    let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    issued.external_state.exposure.certificate = Some(object(&ready));
    let mut conflict = ingress(Value::Null);
    conflict.applied.name_conflicts = vec![(Kind::Ingress, "demo".to_owned())];
    worlds.push(issued);
    worlds.push(conflict);

    worlds.push(changed(|world| {
        let pod = &mut world.external_state.pods;
        *pod = vec![super::tests::ready_pod("demo-1")];
        world.external_state.answers =
            vec![Answer { pod: "demo-1".to_owned(), report: None, fault: Some(Fault::Denied) }];
    }));
    let gateway =
        json!({"exposure": {"gateway": {"parentRefs": [{"name": "g"}], "hostnames": ["a.example"]}}});
    for found in [Presence::Present, Presence::Absent, Presence::Unknown] {
        let mut world = with_spec(gateway.clone());
        presence(&mut world, Kind::HttpRoute, found);
        worlds.push(world);
    }
    let mut with_tls = gateway.clone();
    with_tls["tls"] = json!({"issuerRef": {"name": "ca"}});
    let mut world = with_spec(with_tls);
    presence(&mut world, Kind::HttpRoute, Presence::Present);
    world.external_state.optional =
        world.external_state.optional.with(Kind::BackendTlsPolicy, Presence::Absent);
    worlds.push(world);
    for accepted in ["True", "False"] {
        let mut world = with_spec(gateway.clone());
        presence(&mut world, Kind::HttpRoute, Presence::Present);
        let parent =
            json!({"parentRef": {"name": "g"}, "conditions": [{"type": "Accepted", "status": accepted}]});
        world.external_state.exposure.http_route = Some(object(&json!({"parents": [parent]})));
        worlds.push(world);
    }
    let route = json!({"exposure": {"route": {"host": "a.example"}}});
    for found in [Presence::Present, Presence::Absent, Presence::Unknown] {
        let mut world = with_spec(route.clone());
        presence(&mut world, Kind::Route, found);
        worlds.push(world);
    }
    for admitted in ["True", "False"] {
        let mut world = with_spec(route.clone());
        presence(&mut world, Kind::Route, Presence::Present);
        let router =
            json!({"routerName": "default", "conditions": [{"type": "Admitted", "status": admitted}]});
        world.external_state.exposure.route = Some(object(&json!({"ingress": [router]})));
        worlds.push(world);
    }
    worlds
}

/// Facts that lead to every status and reason of every condition.
pub(super) fn worlds() -> Vec<World> {
    let groups = [blocked(), migrations(), rollouts(), reports(), stores(), optional_features(), exposures()];
    let mut external = validated(&auth_service(full_spec()), full());
    external.spec.email.enabled = false;
    let external = World { service: external, ..World::healthy() };
    let reviews = workload_identity_tests::worlds();
    groups.into_iter().flatten().chain([external]).chain(reviews).collect()
}

#[test]
fn the_documentation_lists_every_status_and_reason() {
    let mut decided = BTreeSet::new();
    for world in worlds() {
        let (conditions, _) = world.decide();
        let state = |stated: &super::facts::Stated| {
            let status = stated.status.as_str().to_owned();
            (stated.type_.to_owned(), status, stated.reason.to_owned())
        };
        // It repeats the condition Progressing.
        let (progressing, reconciling) = (&conditions[types::PROGRESSING], &conditions[types::RECONCILING]);
        let queued = progressing.reason == "RolloutQueued";
        assert!(!queued || reconciling.status.as_str() == "False", "{reconciling:?}");
        let same = (progressing.status, progressing.reason) == (reconciling.status, reconciling.reason);
        assert!(same || queued, "Reconciling is as Progressing: {progressing:?}, {reconciling:?}");
        let stalled = &conditions[types::STALLED];
        if stalled.status.as_str() == "True" {
            assert_eq!(stalled.reason, conditions[types::READY].reason, "the reason of Ready");
        } else {
            decided.insert(state(stalled));
        }
        let others = conditions.values();
        decided.extend(
            others.filter(|stated| ![types::RECONCILING, types::STALLED].contains(&stated.type_)).map(state),
        );
    }
    // Of an AuthService that cannot be read no facts are known.
    decided.insert(("Ready".to_owned(), "False".to_owned(), unreadable::REASON.to_owned()));
    let documented = documented();
    let (missing, stale): (Vec<_>, Vec<_>) =
        (decided.difference(&documented).collect(), documented.difference(&decided).collect());
    assert!(missing.is_empty() && stale.is_empty(), "not documented: {missing:?}; not decided: {stale:?}");
}

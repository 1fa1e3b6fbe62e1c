//! Snapshots of all rendered objects, for a minimal and for a complete AuthService.

use latchkey_config::{BASE_MEMORY, HASH_MEMORY, HashLimits, SecretText, Settings, variables};
use latchkey_crds::AuthService;
use serde_json::{Value, json};

use super::*;
use crate::auth_service::dereference::{ClientCertificate, ClientRegistry, Dereferenced, SmtpLogin};
use crate::auth_service::fixtures::{
    KEYS, auth_service, client_certificate, completed_migration, embedded, external_state, full, full_spec,
    validated,
};
use crate::cluster::cache::Presence;
use crate::signing_keys::KeySet;

fn rendered(service: &Validated, external_state: &ExternalState) -> Objects {
    render(service, external_state, Timestamp::UNIX_EPOCH).unwrap()
}

/// Rendered with the migration done.
fn migrated(auth_service: &AuthService, found: Dereferenced, presence: Presence) -> Objects {
    let service = validated(auth_service, found);
    let jobs = vec![completed_migration(&service)];
    rendered(&service, &ExternalState { jobs, ..external_state(presence) })
}

fn smallest() -> Objects {
    migrated(&auth_service(json!({})), embedded(), Presence::Absent)
}

fn complete() -> Objects {
    migrated(&auth_service(full_spec()), full(), Presence::Present)
}

/// The action for an object.
fn action<'a>(objects: &'a Objects, kind: Kind, name: &str) -> &'a Action {
    objects.actions().find(|action| action.target() == (kind, name)).unwrap()
}

fn jobs(objects: &Objects) -> Vec<&Action> {
    objects.actions().filter(|action| action.target().0 == Kind::Job).collect()
}

/// All objects, as one list.
fn all(objects: &Objects) -> Vec<Value> {
    let actions = objects.actions();
    let values = actions.map(|action| match action {
        Action::Apply(rendered) | Action::Repair(rendered) => rendered.value.clone(),
        Action::Create(rendered) => json!({ "generated": rendered.value }),
        Action::Keep { kind, name } => json!({ "kept": format!("{kind} {name}") }),
        Action::Scale { name, replicas } => json!({ "scaled": name, "replicas": replicas }),
        Action::Delete { kind, name } => json!({ "gone": format!("{kind} {name}") }),
    });
    values.collect()
}

#[test]
fn the_smallest_service() {
    insta::assert_yaml_snapshot!(all(&smallest()));
}

#[test]
fn a_full_service() {
    insta::assert_yaml_snapshot!(all(&complete()));
}

#[test]
fn the_order_of_the_objects_is_the_one_that_apply_relies_on() {
    let objects = smallest();
    let place = |kind: Kind, name: &str| {
        objects.actions().position(|action| action.target() == (kind, name)).unwrap()
    };
    let job = objects.actions().position(|action| action.target().0 == Kind::Job).unwrap();
    let deployment = place(Kind::Deployment, "demo");
    for before in [
        place(Kind::Secret, "demo-jwt-keys"),
        place(Kind::ConfigMap, "demo-settings"),
        place(Kind::ConfigMap, "demo-jwks"),
        place(Kind::NetworkPolicy, "demo"),
        place(Kind::HorizontalPodAutoscaler, "demo"),
    ] {
        assert!(before < place(Kind::StatefulSet, "demo-postgres") && before < deployment);
    }
    assert!(place(Kind::StatefulSet, "demo-postgres") < job && job < deployment);
    let phases: Vec<Phase> = objects.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, [Phase::Prerequisites, Phase::Network, Phase::Workloads, Phase::Companions]);
    // Whether workloads may run is decided by the prerequisites alone.
    for (phase, actions) in &objects.phases {
        for action in actions {
            let runs_pods = matches!(action.target().0, Kind::Deployment | Kind::StatefulSet | Kind::Job);
            assert_eq!(runs_pods, *phase == Phase::Workloads, "{action:?}");
        }
    }
}

#[test]
fn secret_values_are_only_in_secrets() {
    for value in all(&complete()) {
        if value["kind"] != "Secret" {
            assert!(!value.to_string().contains("-secret"), "{value}");
        }
    }
    for value in all(&smallest()) {
        if value["kind"] != "Secret" {
            assert!(!value.to_string().contains("-secret"), "{value}");
        }
    }
}

/// The settings that no field of the spec changes, each with the reason.
const FIXED: [(&str, &str); 7] = [
    ("DATABASE_URL", "the path of the mounted file: spec.database names the Secret"),
    ("REDIS_URL", "the path of the mounted file: spec.redis names the Secret"),
    ("JWT_KEYS_FILE", "the path of the mounted file: the operator generates the keys"),
    ("CLIENTS_FILE", "the path of the mounted file: the operator renders the registry of AuthClients"),
    ("LISTEN_ADDR", "the port of the container"),
    ("MANAGEMENT_ADDR", "the port of the container"),
    ("PASSWORD_HASH_WORKERS", "the server derives it from spec.pod.resources"),
];

#[test]
fn the_spec_can_change_every_setting_of_the_server_that_is_not_fixed() {
    let settings = |objects: &Objects| match action(objects, Kind::ConfigMap, "demo-settings") {
        Action::Apply(rendered) => rendered.value["data"].clone(),
        other => panic!("not applied: {other:?}"),
    };
    let (default, changed) = (settings(&smallest()), settings(&complete()));
    for name in variables::ALL {
        let value = |data: &Value| (data[name].clone(), data[variables::file_variant(name)].clone());
        let is_fixed = FIXED.iter().any(|(fixed, _)| *fixed == name);
        assert_eq!(value(&default) == value(&changed), is_fixed, "{name}");
    }
}

/// A user who may create Secrets must not be able to provide the registry.
#[test]
fn pods_mount_the_client_registry_only_if_the_operator_owns_it() {
    let registry = || latchkey_clients::Registry::new(7, Vec::new()).ok();
    let with = |clients: ClientRegistry| {
        let found = Dereferenced { clients, ..embedded() };
        let objects = migrated(&auth_service(json!({})), found, Presence::Absent);
        let Action::Apply(deployment) = action(&objects, Kind::Deployment, "demo") else { panic!("applied") };
        let is_mounted = deployment.value.to_string().contains("demo-clients");
        (action(&objects, Kind::Secret, "demo-clients").clone(), is_mounted)
    };
    let unknown = ClientRegistry::default();
    assert!(matches!(with(unknown.clone()), (Action::Keep { .. }, false)));
    let empty = ClientRegistry { is_known: true, ..unknown.clone() };
    assert!(matches!(with(empty), (Action::Keep { .. }, false)));
    let first = ClientRegistry { is_known: true, registry: registry(), ..unknown.clone() };
    assert!(matches!(with(first.clone()), (Action::Create(_), true)));
    let based_on = Some("9".to_owned());
    let next = ClientRegistry { exists: true, based_on: based_on.clone(), ..first };
    let (Action::Apply(applied), true) = with(next) else { panic!("applied and mounted") };
    assert_eq!(applied.based_on, based_on);
    // While the AuthClients are not known, nothing changes.
    for kept in [
        ClientRegistry { exists: true, registry: registry(), ..unknown.clone() },
        ClientRegistry { was_mounted: true, ..unknown },
    ] {
        assert!(matches!(with(kept), (Action::Keep { .. }, true)));
    }
}

#[test]
fn a_renewed_client_certificate_does_not_roll_the_pods_and_a_new_pepper_does() {
    let checksum = |found| validated(&auth_service(full_spec()), found).server.unwrap().checksum;
    let private_key = SecretText::new("-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n");
    let renewed = || Some(Ok(ClientCertificate { private_key: private_key.clone(), ..client_certificate() }));
    let before = checksum(full());
    let certificates =
        Dereferenced { database_certificate: renewed(), redis_certificate: renewed(), ..full() };
    assert_eq!(checksum(certificates), before);
    let pepper = Some(Ok(SecretText::new("another")));
    assert_ne!(checksum(Dereferenced { password_pepper: pepper, ..full() }), before);
}

#[test]
fn what_the_spec_leaves_out_has_the_default_of_the_server() {
    let settings = validated(&auth_service(json!({})), embedded()).server.unwrap().settings;
    let mut required = settings.to_variables();
    required.retain(|name, _| {
        let names = [
            "DATABASE_URL_FILE",
            "REDIS_URL_FILE",
            "ISSUER_URL",
            "JWT_KEYS_FILE",
            "CLIENTS_FILE",
            "LOGIN_PROBE_ENABLED",
        ];
        names.contains(&name.as_str())
    });
    assert_eq!(Settings::from_variables(&required).unwrap(), settings);
}

#[test]
fn every_pod_passes_pod_security_restricted() {
    for objects in [smallest(), complete()] {
        for value in all(&objects) {
            let pod = &value["spec"]["template"]["spec"];
            if pod.is_null() {
                continue;
            }
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            assert_eq!(pod["automountServiceAccountToken"], false);
            assert_eq!(pod["enableServiceLinks"], false);
            for container in pod["containers"].as_array().unwrap() {
                assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
                assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
                assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
                assert!(container["resources"]["requests"].is_object());
            }
        }
    }
}

#[test]
fn the_deployment_waits_for_the_migration_except_for_its_replicas() {
    let state = external_state(Presence::Absent);
    let objects = rendered(&validated(&auth_service(json!({"replicas": 4})), embedded()), &state);
    assert_eq!(objects.schema, Schema::Migrating);
    let scaled = Action::Scale { name: "demo".to_owned(), replicas: 4 };
    assert_eq!(*action(&objects, Kind::Deployment, "demo"), scaled);
    assert!(matches!(jobs(&objects)[..], [Action::Apply(_)]));

    for (live, wanted) in [(0, 4), (1, 4), (4, 0)] {
        let service = validated(&auth_service(json!({"replicas": wanted})), embedded());
        let deployment = json!({"metadata": {}, "spec": {"replicas": live, "selector": {}, "template": {}}});
        let deployment = Some(serde_json::from_value(deployment).unwrap());
        let objects = rendered(&service, &ExternalState { deployment, ..state.clone() });
        let waits = matches!(action(&objects, Kind::Deployment, "demo"), Action::Keep { .. });
        assert_eq!(waits, live == 0, "what is stopped starts with the database that the spec names");
    }
}

#[test]
fn the_migration_waits_for_the_embedded_database() {
    let state = ExternalState { postgres_ready: false, ..external_state(Presence::Absent) };
    let objects = rendered(&validated(&auth_service(json!({})), embedded()), &state);
    assert_eq!(objects.schema, Schema::WaitingForDatabase);
    assert!(jobs(&objects).is_empty());
}

#[test]
fn lost_keys_keep_the_secret_and_the_deployment_unchanged() {
    let found = Dereferenced { keys: KeyMaterial::Lost("gone".to_owned()), ..embedded() };
    let objects = migrated(&auth_service(json!({})), found, Presence::Absent);
    assert!(matches!(action(&objects, Kind::Secret, "demo-jwt-keys"), Action::Keep { .. }));
    assert!(matches!(action(&objects, Kind::ConfigMap, "demo-jwks"), Action::Keep { .. }));
    assert!(matches!(action(&objects, Kind::Deployment, "demo"), Action::Keep { .. }));
}

#[test]
fn a_lost_password_keeps_the_store_and_its_dependents_unchanged() {
    let found = Dereferenced { postgres_password: Some(StorePassword::Lost), ..embedded() };
    let service = validated(&auth_service(json!({})), found);
    let objects = rendered(&service, &external_state(Presence::Absent));
    for (kind, name) in [
        (Kind::Secret, "demo-postgres"),
        (Kind::StatefulSet, "demo-postgres"),
        (Kind::ConfigMap, "demo-settings"),
    ] {
        assert!(matches!(action(&objects, kind, name), Action::Keep { .. }));
    }
    assert!(matches!(&service.server, Err(problem) if problem.reason == "CredentialsLost"));
}

#[test]
fn mounted_content_rolls_the_pods_but_the_key_set_does_not() {
    let checksum =
        |found: Dereferenced| validated(&auth_service(full_spec()), found).server.unwrap().checksum;
    let before = checksum(full());
    let password = Dereferenced {
        smtp: Some(Ok(SmtpLogin {
            username: SecretText::new("mailer"),
            password: SecretText::new("another"),
        })),
        ..full()
    };
    assert_ne!(before, checksum(password));
    let other_keys = String::from_utf8(KEYS.to_vec()).unwrap().replace("k1", "k2");
    let keys =
        Dereferenced { keys: KeyMaterial::Stored(KeySet::parse(other_keys.as_bytes()).unwrap()), ..full() };
    assert_eq!(before, checksum(keys));
}

#[test]
fn the_migration_depends_on_the_host_but_not_on_the_password() {
    let migration = |url: &str| {
        let found = Dereferenced { database_url: Some(Ok(SecretText::new(url))), ..full() };
        validated(&auth_service(full_spec()), found).server.unwrap().migration
    };
    let before = migration("postgres://u:a@db/auth");
    assert_eq!(before, migration("postgres://v:b@db/auth?sslmode=require"));
    assert_ne!(before, migration("postgres://u:a@other/auth"));
}

/// The memory that an unauthenticated client can make the server take on a node of any size.
#[test]
fn the_default_memory_limit_holds_the_hash_workers_at_any_number_of_cores() {
    let objects = smallest();
    let all = all(&objects);
    let deployment = all
        .iter()
        .map(|object| object.get("object").unwrap_or(object))
        .find(|object| object["kind"] == "Deployment")
        .unwrap_or_else(|| panic!("no Deployment: {all:?}"));
    let limit = &deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"];
    let mib: u64 = limit.as_str().unwrap().strip_suffix("Mi").unwrap().parse().unwrap();
    let limit = mib * 1024 * 1024;
    for cores in 1..=1024 {
        let limits = HashLimits::derive(cores.try_into().unwrap(), Some(limit), None);
        let workers = u64::try_from(limits.workers.get()).unwrap();
        assert!(BASE_MEMORY + workers * HASH_MEMORY <= limit, "{workers} workers on {cores} cores");
        assert!(workers >= u64::try_from(cores.min(4)).unwrap(), "{workers} workers on {cores} cores");
    }
}

/// The annotations of Secrets, which more users may read than their data, cannot be compared with guesses.
#[test]
fn the_hash_of_a_secret_depends_on_the_salt() {
    let hashes = |salt: &str| {
        let found = Dereferenced { salt: SecretText::new(salt), ..full() };
        let objects = migrated(&auth_service(full_spec()), found, Presence::Present);
        let hashes = objects.actions().filter_map(|action| match action {
            Action::Apply(rendered) if rendered.kind == Kind::Secret => {
                Some((rendered.name.clone(), rendered.hash.clone()))
            }
            _ => None,
        });
        hashes.collect::<Vec<_>>()
    };
    let (one, other) = (hashes("one"), hashes("other"));
    assert!(one.iter().any(|(name, _)| name == "demo-smtp"), "{one:?}");
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(one.0, other.0);
        assert_ne!(one.1, other.1, "{}", one.0);
    }
}

//! Snapshots of all rendered objects, for a minimal and for a complete AuthService.

use latchkey_config::SecretText;
use serde_json::{Value, json};

use super::*;
use crate::auth_service::dereference::{Dereferenced, SmtpLogin};
use crate::auth_service::fixtures::{KEYS, auth_service, embedded, full, full_spec, images};
use crate::auth_service::validate::validate;
use crate::signing_keys::KeySet;

/// Built with the migration done.
fn migrated(auth_service: &latchkey_crds::AuthService, found: Dereferenced) -> Objects {
    let service = crate::auth_service::fixtures::migrated(auth_service, found);
    render(&service, Timestamp::UNIX_EPOCH).unwrap()
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
        Action::Apply(rendered) => rendered.value.clone(),
        Action::Create(rendered) => json!({ "generated": rendered.value }),
        Action::Keep { kind, name } => json!({ "kept": format!("{kind} {name}") }),
        Action::Scale { name, replicas } => json!({ "scaled": name, "replicas": replicas }),
        Action::Delete { kind, name } => json!({ "gone": format!("{kind} {name}") }),
    });
    values.collect()
}

#[test]
fn the_smallest_service() {
    insta::assert_yaml_snapshot!(all(&migrated(&auth_service(json!({})), embedded())));
}

#[test]
fn a_full_service() {
    insta::assert_yaml_snapshot!(all(&migrated(&auth_service(full_spec()), full())));
}

#[test]
fn secrets_stand_in_secrets_only() {
    for value in all(&migrated(&auth_service(full_spec()), full())) {
        if value["kind"] != "Secret" {
            assert!(!value.to_string().contains("-secret"), "{value}");
        }
    }
    for value in all(&migrated(&auth_service(json!({})), embedded())) {
        if value["kind"] != "Secret" {
            assert!(!value.to_string().contains("-secret"), "{value}");
        }
    }
}

#[test]
fn every_pod_passes_pod_security_restricted() {
    for (spec, found) in [(json!({}), embedded()), (full_spec(), full())] {
        for value in all(&migrated(&auth_service(spec), found)) {
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
fn the_deployment_waits_for_the_migration_and_only_its_replicas_follow() {
    let service = validate(&auth_service(json!({"replicas": 4})), embedded(), &images()).unwrap();
    let objects = render(&service, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(objects.schema, Schema::Migrating);
    let scaled = Action::Scale { name: "demo".to_owned(), replicas: 4 };
    assert_eq!(*action(&objects, Kind::Deployment, "demo"), scaled);
    assert!(matches!(jobs(&objects)[..], [Action::Apply(_)]));

    for (live, wanted) in [(0, 4), (1, 4), (4, 0)] {
        let mut service =
            validate(&auth_service(json!({"replicas": wanted})), embedded(), &images()).unwrap();
        let deployment = json!({"metadata": {}, "spec": {"replicas": live, "selector": {}, "template": {}}});
        service.deployment = Some(serde_json::from_value(deployment).unwrap());
        let objects = render(&service, Timestamp::UNIX_EPOCH).unwrap();
        let waits = matches!(action(&objects, Kind::Deployment, "demo"), Action::Keep { .. });
        assert_eq!(waits, live == 0, "what is stopped starts with the database that the spec names");
    }
}

#[test]
fn the_migration_waits_for_the_embedded_database() {
    let found = Dereferenced { postgres_ready: false, ..embedded() };
    let service = validate(&auth_service(json!({})), found, &images()).unwrap();
    let objects = render(&service, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(objects.schema, Schema::WaitingForDatabase);
    assert!(jobs(&objects).is_empty());
}

#[test]
fn lost_keys_leave_the_secret_and_the_deployment_alone() {
    let found = Dereferenced { keys: KeyMaterial::Lost("gone".to_owned()), ..embedded() };
    let objects = migrated(&auth_service(json!({})), found);
    assert!(matches!(action(&objects, Kind::Secret, "demo-jwt-keys"), Action::Keep { .. }));
    assert!(matches!(action(&objects, Kind::Deployment, "demo"), Action::Keep { .. }));
}

#[test]
fn a_lost_password_leaves_the_store_and_all_that_needs_it_alone() {
    let found = Dereferenced { postgres_password: Some(StorePassword::Lost), ..embedded() };
    let service = validate(&auth_service(json!({})), found, &images()).unwrap();
    let objects = render(&service, Timestamp::UNIX_EPOCH).unwrap();
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
fn what_is_mounted_rolls_the_pods_but_the_key_set_does_not() {
    let checksum = |found: Dereferenced| {
        validate(&auth_service(full_spec()), found, &images()).unwrap().server.unwrap().checksum
    };
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
fn a_changed_password_names_the_same_migration_and_another_host_does_not() {
    let migration = |url: &str| {
        let found = Dereferenced { database_url: Some(Ok(SecretText::new(url))), ..full() };
        validate(&auth_service(full_spec()), found, &images()).unwrap().server.unwrap().migration
    };
    let before = migration("postgres://u:a@db/auth");
    assert_eq!(before, migration("postgres://v:b@db/auth?sslmode=require"));
    assert_ne!(before, migration("postgres://u:a@other/auth"));
}

//! Snapshots of everything that is built, for the smallest and for a full AuthService.

use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use latchkey_config::SecretText;
use latchkey_crds::{AuthService, AuthServiceSpec};
use serde_json::{Value, json};

use super::*;
use crate::auth_service::dereference::{Admin, Dereferenced, SmtpLogin};
use crate::auth_service::validate::validate;
use crate::context::Images;
use crate::signing_keys::KeySet;

const KEYS: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"eA","d":"ZA","kid":"k1","alg":"EdDSA","use":"sig","latchkey_phase":"active"}]}"#;

fn images() -> Images {
    Images {
        server: "registry.example/latchkey-server:1.2.3".to_owned(),
        postgres: "registry.example/postgres:17".to_owned(),
        valkey: "registry.example/valkey:8".to_owned(),
    }
}

fn auth_service(spec: Value) -> AuthService {
    let spec: AuthServiceSpec = serde_json::from_value(spec).unwrap();
    let mut auth_service = AuthService::new("demo", spec);
    auth_service.metadata.namespace = Some("apps".to_owned());
    auth_service.metadata.uid = Some("00000000-0000-0000-0000-000000000001".to_owned());
    auth_service
}

fn embedded() -> Dereferenced {
    Dereferenced {
        database_url: None,
        redis_url: None,
        smtp: None,
        admin: None,
        postgres_password: Some(StorePassword::Stored(SecretText::new("pg-secret"))),
        redis_password: Some(StorePassword::Stored(SecretText::new("redis-secret"))),
        keys: KeyMaterial::Stored(KeySet::parse(KEYS).unwrap()),
        postgres_ready: true,
        jobs: Vec::new(),
        deployment: None,
        service_monitors: Presence::Absent,
    }
}

/// The same with the migration done.
fn migrated(auth_service: &AuthService, found: Dereferenced) -> Objects {
    let before = validate(auth_service, found.clone(), &images()).unwrap();
    let name = before.names.migration(&before.server.unwrap().migration);
    let job = Job {
        metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() },
        status: Some(JobStatus {
            conditions: Some(vec![JobCondition {
                type_: "Complete".to_owned(),
                status: "True".to_owned(),
                ..JobCondition::default()
            }]),
            ..JobStatus::default()
        }),
        ..Job::default()
    };
    let service = validate(auth_service, Dereferenced { jobs: vec![job], ..found }, &images()).unwrap();
    build_at(&service, Timestamp::UNIX_EPOCH).unwrap()
}

/// Everything, as one list in the order of the fields.
fn all(objects: Objects) -> Vec<Value> {
    let Objects {
        service_account,
        jwt_keys,
        smtp,
        settings,
        service,
        management_service,
        postgres_credentials,
        postgres_service,
        postgres,
        redis_credentials,
        redis_service,
        redis,
        migration,
        deployment,
        disruption_budget,
        service_monitor,
        schema: _,
    } = objects;
    [
        service_account,
        jwt_keys,
        smtp,
        settings,
        service,
        management_service,
        postgres_credentials,
        postgres_service,
        postgres,
        redis_credentials,
        redis_service,
        redis,
        migration,
        deployment,
        disruption_budget,
        service_monitor,
    ]
    .into_iter()
    .map(|wanted| match wanted {
        Wanted::Applied(rendered) => rendered.value,
        Wanted::Minted(rendered) => json!({ "minted": rendered.value }),
        Wanted::Kept { kind, name } => json!({ "kept": format!("{kind} {name}") }),
        Wanted::Scaled { name, replicas } => json!({ "scaled": name, "replicas": replicas }),
        Wanted::Gone { kind, name } => json!({ "gone": format!("{kind} {name}") }),
    })
    .collect()
}

fn full_spec() -> Value {
    json!({
        "replicas": 3,
        "image": {"repository": "registry.example/mine", "digest": format!("sha256:{}", "a".repeat(64)), "pullPolicy": "Always", "pullSecrets": [{"name": "pull"}]},
        "issuer": "https://auth.example.com",
        "database": {"urlSecretRef": {"name": "db", "key": "uri"}},
        "redis": {"urlSecretRef": {"name": "cache"}},
        "tokens": {"algorithm": "EdDSA", "accessTokenTTL": "15m", "refreshTokenTTL": "720h", "audience": "apps"},
        "email": {"enabled": true, "from": {"name": "Example", "address": "no-reply@example.com"}, "smtp": {"host": "smtp.example.com", "port": 465, "security": "tls", "credentialsSecretRef": {"name": "mail", "passwordKey": "pw"}}, "publicURL": "https://www.example.com"},
        "bootstrapAdmin": {"secretRef": {"name": "admin"}},
        "monitoring": {"serviceMonitor": {"interval": "30s", "labels": {"release": "prometheus"}}},
        "logging": {"level": "debug", "format": "text"},
        "tracing": {"otlpEndpoint": "http://collector:4317"},
        "pod": {
            "resources": {"requests": {"cpu": "1"}},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
            "priorityClassName": "high",
            "labels": {"team": "a"},
            "annotations": {"note": "b"},
        },
    })
}

fn full() -> Dereferenced {
    Dereferenced {
        database_url: Some(Ok(SecretText::new("postgres://u:database-secret@db.example:5432/auth"))),
        redis_url: Some(Ok(SecretText::new("rediss://:cache-secret@cache.example:6380"))),
        smtp: Some(Ok(SmtpLogin {
            username: SecretText::new("mailer"),
            password: SecretText::new("mail-secret"),
        })),
        admin: Some(Ok(Admin {
            username: "root".to_owned(),
            email: "root@example.com".to_owned(),
            password: SecretText::new("admin-secret"),
        })),
        postgres_password: None,
        redis_password: None,
        service_monitors: Presence::Present,
        ..embedded()
    }
}

#[test]
fn the_smallest_service() {
    insta::assert_yaml_snapshot!(all(migrated(&auth_service(json!({})), embedded())));
}

#[test]
fn a_full_service() {
    insta::assert_yaml_snapshot!(all(migrated(&auth_service(full_spec()), full())));
}

#[test]
fn secrets_stand_in_secrets_only() {
    for value in all(migrated(&auth_service(full_spec()), full())) {
        if value["kind"] != "Secret" {
            assert!(!value.to_string().contains("-secret"), "{value}");
        }
    }
    for value in all(migrated(&auth_service(json!({})), embedded())) {
        if value["kind"] != "Secret" {
            assert!(!value.to_string().contains("-secret"), "{value}");
        }
    }
}

#[test]
fn every_pod_passes_pod_security_restricted() {
    for (spec, found) in [(json!({}), embedded()), (full_spec(), full())] {
        for value in all(migrated(&auth_service(spec), found)) {
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
    let objects = build_at(&service, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(objects.schema, Schema::Migrating);
    assert_eq!(objects.deployment, Wanted::Scaled { name: "demo".to_owned(), replicas: 4 });
    assert!(matches!(objects.migration, Wanted::Applied(_)));
}

#[test]
fn the_migration_waits_for_the_embedded_database() {
    let found = Dereferenced { postgres_ready: false, ..embedded() };
    let service = validate(&auth_service(json!({})), found, &images()).unwrap();
    let objects = build_at(&service, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(objects.schema, Schema::WaitingForDatabase);
    assert!(matches!(objects.migration, Wanted::Kept { .. }));
}

#[test]
fn lost_keys_leave_the_secret_and_the_deployment_alone() {
    let found = Dereferenced { keys: KeyMaterial::Lost("gone".to_owned()), ..embedded() };
    let objects = migrated(&auth_service(json!({})), found);
    assert!(matches!(objects.jwt_keys, Wanted::Kept { .. }));
    assert!(matches!(objects.deployment, Wanted::Kept { .. }));
}

#[test]
fn a_lost_password_leaves_the_store_and_all_that_needs_it_alone() {
    let found = Dereferenced { postgres_password: Some(StorePassword::Lost), ..embedded() };
    let service = validate(&auth_service(json!({})), found, &images()).unwrap();
    let objects = build_at(&service, Timestamp::UNIX_EPOCH).unwrap();
    for wanted in [&objects.postgres_credentials, &objects.postgres, &objects.settings] {
        assert!(matches!(wanted, Wanted::Kept { .. }));
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

//! AuthServices for the tests: a minimal and a complete one, with their references.

use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use latchkey_config::SecretText;
use latchkey_crds::{AuthService, AuthServiceSpec};
use serde_json::{Value, json};

use super::dereference::{
    BootstrapAdmin, ClientCertificate, ClientRegistry, Dereferenced, ExposureState, ExternalState, Rotation,
    SmtpLogin,
};
use super::shared_database::Sharing;
use super::validate::{Validated, validate, validate_tokens};
use super::warnings::Warnings;
use crate::auth_service::context::{Images, Installation};
use crate::cluster::cache::{Optional, Presence};
use crate::cluster::kinds::Kind;
use crate::credentials::StorePassword;
use crate::signing_keys::{KeyMaterial, KeySet};

/// The public example key of RFC 8037 appendix A.1.
pub(crate) const KEYS: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","kid":"k1","alg":"EdDSA","use":"sig","latchkey_phase":"active"}]}"#;

pub(crate) fn installation() -> Installation {
    Installation {
        images: Images {
            server: "registry.example/latchkey-server:1.2.3".to_owned(),
            postgres: "registry.example/postgres:17".to_owned(),
            valkey: "registry.example/valkey:8".to_owned(),
            registry: String::new(),
            pull_names: Vec::new(),
        },
        assigns_users: true,
    }
}

pub(crate) fn auth_service(spec: Value) -> AuthService {
    let spec: AuthServiceSpec = serde_json::from_value(spec).unwrap();
    let mut auth_service = AuthService::new("demo", spec);
    auth_service.metadata.namespace = Some("apps".to_owned());
    auth_service.metadata.uid = Some("00000000-0000-0000-0000-000000000001".to_owned());
    auth_service
}

pub(crate) fn embedded() -> Dereferenced {
    Dereferenced {
        database_url: None,
        database_certificate: None,
        redis_url: None,
        redis_certificate: None,
        api_certificate: None,
        api_ca: None,
        smtp: None,
        bootstrap_admin: None,
        introspection_secret: None,
        password_pepper: None,
        trusted_cas: None,
        templates: None,
        postgres_password: Some(StorePassword::Stored(SecretText::new("pg-secret"))),
        redis_password: Some(StorePassword::Stored(SecretText::new("redis-secret"))),
        keys: KeyMaterial::Stored(KeySet::parse(KEYS).unwrap()),
        rotation: Rotation::default(),
        salt: SecretText::new("salt"),
        clients: ClientRegistry::default(),
    }
}

/// Nothing but the embedded database exists, and the optional kinds are installed or not.
pub(crate) fn external_state(presence: Presence) -> ExternalState {
    ExternalState {
        operator_namespace: "latchkey-system".to_owned(),
        sharing: Sharing::Exclusive,
        postgres_image: None,
        postgres_claim: None,
        postgres_ready: true,
        jobs: Vec::new(),
        deployment: None,
        pods: Vec::new(),
        answers: Vec::new(),
        migration_pods: Vec::new(),
        optional: Kind::OPTIONAL
            .into_iter()
            .fold(Optional::default(), |optional, kind| optional.with(kind, presence)),
        autoscaler: None,
        exposure: ExposureState::default(),
        stores: Vec::new(),
        warnings: Warnings::default(),
    }
}

pub(crate) fn full_spec() -> Value {
    json!({
        "replicas": 3,
        "image": {"repository": "registry.example/mine", "digest": format!("sha256:{}", "a".repeat(64)), "pullPolicy": "Always", "pullSecrets": [{"name": "pull"}]},
        "issuer": "https://auth.example.com",
        "database": {"urlSecretRef": {"name": "db", "key": "uri"}, "clientCertificateSecretRef": {"name": "db-client"}, "poolSize": 12},
        "redis": {"urlSecretRef": {"name": "cache"}, "clientCertificateSecretRef": {"name": "cache-client", "certificateKey": "user.crt", "privateKeyKey": "user.key"}},
        "trustedCAs": [{"secretRef": {"name": "db-ca"}}, {"configMapRef": {"name": "corporate", "key": "roots.pem"}}],
        "tokens": {"algorithm": "EdDSA", "accessTokenTTL": "15m", "refreshTokenTTL": "720h", "audience": "apps", "keyReclaim": "Retain"},
        "email": {"enabled": true, "from": {"name": "Example", "address": "no-reply@example.com"}, "smtp": {"host": "smtp.example.com", "port": 465, "security": "tls", "credentialsSecretRef": {"name": "mail", "passwordKey": "pw"}, "ehloName": "mail.example.com"}, "publicURL": "https://www.example.com", "templatesConfigMapRef": {"name": "texts"}},
        "bootstrapAdmin": {"secretRef": {"name": "admin"}},
        "registration": {"enabled": true, "emailDomains": ["example.com"], "unverifiedRetentionDays": 30},
        "accounts": {"unverifiedLogin": true, "selfDeletion": true, "adminPasswords": false, "defaultLocale": "de", "maxSessions": 20, "importedPasswordPepperSecretRef": {"name": "old-system"}},
        "passwordPolicy": {"minLength": 15, "forbiddenWords": ["Example", "example corp"]},
        "audit": {"retentionDays": 90},
        "loginProbe": {"enabled": false},
        "rateLimits": {"enabled": false, "perAccount": 20, "perNetwork": 200, "loginsPerAccount": 60},
        "maxConnections": 5000,
        "trustedProxies": ["10.0.0.0/8", "2001:db8::1"],
        "corsAllowedOrigins": ["https://app.example.com"],
        "introspectionClient": {"id": "gateway", "secretRef": {"name": "gateway", "key": "secret"}},
        "workloadIdentity": {"enabled": true},
        "tls": {"secretRef": {"name": "api-tls"}},
        "exposure": {"ingress": {"host": "auth.example.com", "className": "nginx", "annotations": {"a": "b"}, "tls": {"certificate": {"issuerRef": {"name": "letsencrypt", "kind": "ClusterIssuer"}}}}},
        "networkPolicy": {"enabled": true, "allowFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}], "allowMetricsFrom": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "prometheus"}}}], "redisPorts": [6381], "egressNetworks": ["10.0.0.0/8"], "extraEgress": [{"ports": [{"port": 15012, "protocol": "TCP"}]}], "extraIngress": [{"ports": [{"port": 15008, "protocol": "TCP"}]}]},
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
        "podTemplate": {"spec": {
            "volumes": [{"name": "scratch", "emptyDir": {}}],
            "containers": [{"name": "server", "env": [{"name": "TZ", "value": "UTC"}], "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}],
        }},
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/auth"}},
    })
}

/// Of the form that the server accepts; the key does not belong to the certificate.
pub(crate) fn client_certificate() -> ClientCertificate {
    ClientCertificate {
        certificate: SecretText::new(include_str!("fixtures/certificate.pem")),
        private_key: SecretText::new("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"),
    }
}

pub(crate) fn full() -> Dereferenced {
    Dereferenced {
        database_url: Some(Ok(SecretText::new("postgres://u:database-secret@db.example:5432/auth"))),
        redis_url: Some(Ok(SecretText::new("rediss://:cache-secret@cache.example:6380"))),
        database_certificate: Some(Ok(client_certificate())),
        redis_certificate: Some(Ok(client_certificate())),
        api_certificate: Some(Ok(client_certificate())),
        smtp: Some(Ok(SmtpLogin {
            username: SecretText::new("mailer"),
            password: SecretText::new("mail-secret"),
        })),
        bootstrap_admin: Some(Ok(BootstrapAdmin {
            username: "root".to_owned(),
            email: "root@example.com".to_owned(),
            password: SecretText::new("long admin-secret"),
        })),
        introspection_secret: Some(Ok(SecretText::new("introspection-secret-of-the-gateway"))),
        password_pepper: Some(Ok(SecretText::new("pepper-secret"))),
        trusted_cas: Some(Ok(include_str!("fixtures/certificate.pem").to_owned())),
        postgres_password: None,
        redis_password: None,
        templates: Some(Ok("uid/1".to_owned())),
        ..embedded()
    }
}

/// Validated on a cluster where nothing exists yet.
pub(crate) fn validated(auth_service: &AuthService, found: Dereferenced) -> Validated {
    let tokens = validate_tokens(&auth_service.spec.tokens);
    validate(auth_service, tokens, found, &external_state(Presence::Absent), &installation()).unwrap()
}

/// The migration Job of the AuthService, completed.
pub(crate) fn completed_migration(service: &Validated) -> Job {
    let name = service.names.migration(&service.server.as_ref().unwrap().migration);
    Job {
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
    }
}

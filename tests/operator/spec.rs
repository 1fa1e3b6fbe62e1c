//! Every field of the spec: when it changes, the dependent object follows.

use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};

/// A merge patch for the spec, and the place of its effect: kind, name, JSON pointer, value.
type Row = (Value, &'static str, &'static str, &'static str, Value);

const SETTINGS: &str = "auth-settings";

fn setting(patch: Value, pointer: &'static str, value: &str) -> Row {
    (patch, "ConfigMap", SETTINGS, pointer, json!(value))
}

fn deployment(patch: Value, pointer: &'static str, value: Value) -> Row {
    (patch, "Deployment", NAME, pointer, value)
}

async fn check_rows(fixture: &Fixture, rows: Vec<Row>) {
    for (patch, kind, name, pointer, expected) in rows {
        fixture.merge(json!({"spec": patch})).await;
        fixture.wait_for_value(kind, name, pointer, &expected).await;
    }
}

#[tokio::test]
async fn each_setting_reaches_the_server_and_rolls_its_pods() {
    let fixture = Fixture::new("settings").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture
        .apply_secret(
            "admin",
            &[("username", "root"), ("email", "root@example.com"), ("password", "correct horse battery")],
        )
        .await;
    fixture.apply_secret("gateway", &[("secret", "a secret that only the gateway knows")]).await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let mail = json!({"email": {
        "enabled": true,
        "from": {"address": "no-reply@example.com"},
        "smtp": {"host": "smtp.example.com"},
    }});
    let smtp = |value: Value| json!({"email": {"smtp": value}});
    let rows = [
        setting(
            json!({"issuer": "https://auth.example.com"}),
            "/data/ISSUER_URL",
            "https://auth.example.com",
        ),
        setting(json!({"tokens": {"accessTokenTTL": "15m"}}), "/data/ACCESS_TOKEN_EXPIRE_MINUTES", "15"),
        setting(json!({"tokens": {"refreshTokenTTL": "24h"}}), "/data/REFRESH_TOKEN_EXPIRE_MINUTES", "1440"),
        setting(json!({"tokens": {"audience": "apps"}}), "/data/TOKEN_AUDIENCE", "apps"),
        setting(mail, "/data/EMAILS_ENABLED", "true"),
        setting(smtp(json!({"host": "mx.example.com"})), "/data/SMTP_HOST", "mx.example.com"),
        setting(smtp(json!({"port": 2525})), "/data/SMTP_PORT", "2525"),
        setting(smtp(json!({"security": "tls"})), "/data/SMTP_SSL", "true"),
        setting(smtp(json!({"security": "none"})), "/data/SMTP_SSL", "false"),
        setting(smtp(json!({"security": "starttls"})), "/data/SMTP_TLS", "true"),
        setting(json!({"email": {"from": {"name": "Accounts"}}}), "/data/EMAILS_FROM_NAME", "Accounts"),
        setting(
            json!({"email": {"from": {"address": "other@example.com"}}}),
            "/data/EMAILS_FROM_EMAIL",
            "other@example.com",
        ),
        setting(
            json!({"email": {"publicURL": "https://id.example.com"}}),
            "/data/PUBLIC_URL",
            "https://id.example.com",
        ),
        setting(json!({"registration": {"enabled": true}}), "/data/REGISTRATION_ENABLED", "true"),
        setting(
            json!({"registration": {"enabled": false, "emailDomains": ["Example.com", "example.org"]}}),
            "/data/REGISTRATION_EMAIL_DOMAINS",
            "example.com,example.org",
        ),
        setting(json!({"accounts": {"unverifiedLogin": true}}), "/data/UNVERIFIED_LOGIN_ENABLED", "true"),
        setting(json!({"accounts": {"selfDeletion": true}}), "/data/ACCOUNT_DELETION_ENABLED", "true"),
        setting(json!({"accounts": {"adminPasswords": false}}), "/data/ADMIN_PASSWORDS_ENABLED", "false"),
        setting(json!({"accounts": {"defaultLocale": "de"}}), "/data/DEFAULT_LOCALE", "de"),
        setting(json!({"passwordPolicy": {"minLength": 15}}), "/data/PASSWORD_MIN_LENGTH", "15"),
        setting(
            json!({"passwordPolicy": {"forbiddenWords": ["Example", "Café & Co."]}}),
            "/data/PASSWORD_FORBIDDEN_WORDS",
            "example,café & co.",
        ),
        setting(json!({"audit": {"retentionDays": 30}}), "/data/AUDIT_RETENTION_DAYS", "30"),
        setting(json!({"rateLimits": {"perAccount": 7}}), "/data/RATE_LIMIT_PER_ACCOUNT", "7"),
        setting(json!({"rateLimits": {"perNetwork": 70}}), "/data/RATE_LIMIT_PER_NETWORK", "70"),
        setting(json!({"rateLimits": {"enabled": false}}), "/data/RATE_LIMITS_ENABLED", "false"),
        setting(
            json!({"trustedProxies": ["10.0.0.0/8", "192.0.2.1"]}),
            "/data/TRUSTED_PROXIES",
            "10.0.0.0/8,192.0.2.1/32",
        ),
        setting(
            json!({"corsAllowedOrigins": ["https://App.example.com:443", "capacitor://localhost", "app://."]}),
            "/data/CORS_ALLOWED_ORIGINS",
            "https://app.example.com,capacitor://localhost,app://.",
        ),
        setting(
            json!({"introspectionClient": {"id": "gateway", "secretRef": {"name": "gateway"}}}),
            "/data/INTROSPECTION_CLIENT_ID",
            "gateway",
        ),
        setting(json!({"email": {"enabled": false}}), "/data/EMAILS_ENABLED", "false"),
        setting(json!({"bootstrapAdmin": {"secretRef": {"name": "admin"}}}), "/data/FIRST_SUPERUSER", "root"),
        setting(json!({"logging": {"level": "debug"}}), "/data/LOG_LEVEL", "debug"),
        setting(json!({"logging": {"format": "text"}}), "/data/LOG_FORMAT", "text"),
        setting(
            json!({"tracing": {"otlpEndpoint": "http://collector.example.com:4317"}}),
            "/data/OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://collector.example.com:4317",
        ),
    ];
    for row in rows {
        let before = fixture.checksum().await;
        check_rows(&fixture, vec![row]).await;
        fixture.wait_for_other_checksum(&before).await;
    }
    fixture.wait_for_condition("Ready", "True").await;
}

#[tokio::test]
async fn the_server_accepts_the_rendered_settings() {
    let fixture = Fixture::new("contract").await;
    let _operator = fixture.start_operator().await;
    let credentials = [("username", "mailer"), ("password", "hunter22")];
    fixture.apply_secret("smtp", &credentials).await;
    let admin = [("username", "root"), ("email", "root@example.com"), ("password", "correct horse battery")];
    fixture.apply_secret("admin", &admin).await;
    fixture
        .apply(json!({
            "tokens": {"accessTokenTTL": "1h30m"},
            "bootstrapAdmin": {"secretRef": {"name": "admin"}},
            "email": {
                "enabled": true,
                "from": {"address": "no-reply@example.com"},
                "smtp": {"host": "smtp.example.com", "credentialsSecretRef": {"name": "smtp"}},
            },
        }))
        .await;
    fixture.wait_for_value("ConfigMap", SETTINGS, "/data/EMAILS_ENABLED", &json!("true")).await;
    let settings = fixture.any("ConfigMap").get(SETTINGS).await.expect("the settings");
    let variables = serde_json::from_value(settings.data["data"].clone()).expect("texts");
    let settings =
        latchkey_config::Settings::from_variables(&variables).expect("settings the server accepts");
    assert_eq!(settings.access_token_lifetime.get(), 90);
    assert!(settings.email.expect("mail").smtp.credentials.is_some());
    assert_eq!(settings.issuer_url.host_str(), Some(format!("auth.{}.svc", fixture.namespace).as_str()));
}

#[tokio::test]
async fn the_pods_follow_the_spec() {
    let fixture = Fixture::new("pods").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let pod = |value: Value| json!({"pod": value});
    let node =
        json!({"preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}, "weight": 1});
    let affinity = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [node]}});
    let resources = json!({"requests": {"cpu": "75m", "memory": "96Mi"}, "limits": {"memory": "128Mi"}});
    let rows = vec![
        deployment(json!({"replicas": 3}), "/spec/replicas", json!(3)),
        deployment(
            pod(json!({"resources": resources})),
            "/spec/template/spec/containers/0/resources",
            resources.clone(),
        ),
        deployment(
            pod(json!({"nodeSelector": {"disk": "fast"}})),
            "/spec/template/spec/nodeSelector/disk",
            json!("fast"),
        ),
        deployment(
            pod(json!({"tolerations": [{"key": "spot", "operator": "Exists"}]})),
            "/spec/template/spec/tolerations",
            json!([{"key": "spot", "operator": "Exists"}]),
        ),
        deployment(pod(json!({"affinity": affinity})), "/spec/template/spec/affinity", affinity.clone()),
        deployment(
            pod(json!({"topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
            ]})),
            "/spec/template/spec/topologySpreadConstraints/0/labelSelector/matchLabels/app.kubernetes.io~1instance",
            json!(NAME),
        ),
        deployment(
            pod(json!({"labels": {"team": "identity"}})),
            "/spec/template/metadata/labels/team",
            json!("identity"),
        ),
        deployment(
            pod(json!({"annotations": {"note": "hello"}})),
            "/spec/template/metadata/annotations/note",
            json!("hello"),
        ),
        deployment(
            pod(json!({"priorityClassName": "system-cluster-critical"})),
            "/spec/template/spec/priorityClassName",
            json!("system-cluster-critical"),
        ),
        // What is removed from the spec is removed from the pods.
        deployment(json!({"pod": null}), "/spec/template/metadata/labels/team", Value::Null),
        deployment(json!({"replicas": 0}), "/spec/replicas", json!(0)),
    ];
    check_rows(&fixture, rows).await;
    fixture.wait_for_reason("Ready", "False", "ScaledToZero").await;
}

#[tokio::test]
async fn a_new_image_is_migrated_before_the_pods_use_it() {
    let fixture = Fixture::new("image").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let image = |value: Value| json!({"image": value});
    let at = "/spec/template/spec/containers/0/image";
    let digest = format!("sha256:{:064x}", 7);
    let rows = vec![
        deployment(
            image(json!({"pullSecrets": [{"name": "registry"}]})),
            "/spec/template/spec/imagePullSecrets",
            json!([{"name": "registry"}]),
        ),
        deployment(
            image(json!({"pullPolicy": "Always"})),
            "/spec/template/spec/containers/0/imagePullPolicy",
            json!("Always"),
        ),
        deployment(
            image(json!({"repository": "registry.example.com/auth", "tag": "2.0"})),
            at,
            json!("registry.example.com/auth:2.0"),
        ),
        deployment(
            image(json!({"tag": null, "digest": digest})),
            at,
            json!(format!("registry.example.com/auth@{digest}")),
        ),
    ];
    check_rows(&fixture, rows).await;
    fixture.wait_for_condition("Ready", "True").await;
    // Its migration ran with the same image.
    let owned = fixture.owned().await;
    let jobs = owned.iter().filter(|(name, _)| name.starts_with("Job/"));
    let images: Vec<&Value> =
        jobs.filter_map(|(_, job)| job.data.pointer("/spec/template/spec/containers/0/image")).collect();
    assert!(images.contains(&&json!(format!("registry.example.com/auth@{digest}"))), "{images:?}");
}

#[tokio::test]
async fn pods_stay_on_the_old_image_while_its_migration_has_not_succeeded() {
    let fixture = Fixture::new("held-back").await;
    let kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    drop(kubelet);
    let image = "/spec/template/spec/containers/0/image";
    let before =
        fixture.any("Deployment").get(NAME).await.expect("the Deployment").data.pointer(image).cloned();

    fixture.merge(json!({"spec": {"image": {"tag": "2.0"}, "replicas": 2}})).await;
    fixture.wait_for_reason("SchemaMigrated", "False", "Migrating").await;
    // Scaling is still possible: replicas are no part of a version.
    fixture.wait_for_value("Deployment", NAME, "/spec/replicas", &json!(2)).await;
    let now = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
    assert_eq!(now.data.pointer(image), before.as_ref());

    let _kubelet = fixture.start_kubelet();
    let moved = json!("ghcr.io/latchkey-dev/latchkey-server:2.0");
    fixture.wait_for_value("Deployment", NAME, image, &moved).await;
    fixture.wait_for_condition("Ready", "True").await;
}

#[tokio::test]
async fn the_service_monitor_follows_the_spec() {
    let fixture = Fixture::new("monitor").await;
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("MonitoringConfigured", "True").await;
    let monitor = |value: Value| json!({"monitoring": {"serviceMonitor": value}});
    let rows = vec![
        (
            monitor(json!({"interval": "30s"})),
            "ServiceMonitor",
            NAME,
            "/spec/endpoints/0/interval",
            json!("30s"),
        ),
        (
            monitor(json!({"labels": {"release": "prometheus"}})),
            "ServiceMonitor",
            NAME,
            "/metadata/labels/release",
            json!("prometheus"),
        ),
        (monitor(json!({"labels": null})), "ServiceMonitor", NAME, "/metadata/labels/release", Value::Null),
    ];
    check_rows(&fixture, rows).await;
    // It selects the separate Service.
    let monitor_now = fixture.any("ServiceMonitor").get(NAME).await.expect("the ServiceMonitor");
    let service = fixture.any("Service").get("auth-management").await.expect("the Service");
    let selected = monitor_now.data["spec"]["selector"]["matchLabels"].as_object().expect("labels").clone();
    let labels = service.metadata.labels.expect("labels");
    assert!(selected.iter().all(|(name, value)| labels.get(name).map(String::as_str) == value.as_str()));
    assert_eq!(monitor_now.data["spec"]["endpoints"][0]["port"], service.data["spec"]["ports"][0]["name"]);

    fixture.merge(json!({"spec": monitor(json!({"enabled": false}))})).await;
    fixture.wait_until_gone("ServiceMonitor", NAME).await;
    fixture.wait_for_reason("MonitoringConfigured", "False", "Disabled").await;
}

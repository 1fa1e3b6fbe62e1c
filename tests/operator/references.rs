//! Every reference of a spec, and each way in which it can be invalid: the exact message, and that running pods are
//! not affected.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use latchkey_crds::AuthService;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME, condition};
use crate::waiting::wait_for;

/// The data of a Secret, by key.
type Content = Vec<(String, Vec<u8>)>;

/// A Secret that the spec references.
struct Reference {
    field: &'static str,
    secret: &'static str,
    /// The required keys, each with a valid value.
    keys: Vec<(&'static str, String)>,
    /// The condition that reports it.
    condition: &'static str,
    /// Whether the pods contain its data.
    mounted: bool,
    /// Invalid values of the first key, each with its message.
    bad: Vec<(String, String)>,
}

const RESOLVED: &str = "SecretsResolved";

fn certificate() -> String {
    include_str!("../../operator/src/auth_service/fixtures/certificate.pem").to_owned()
}

fn private_key() -> String {
    "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n".to_owned()
}

fn pair(field: &str) -> String {
    format!(
        "the Secret of {field} must contain a certificate and its unencrypted private key in PEM form: correct it."
    )
}

/// A URL in the Secret of the database, and the message about it.
fn database(value: &str, reason: &str) -> (String, String) {
    let message =
        format!("the URL in the Secret of spec.database.urlSecretRef is not valid: {reason}; correct it.");
    (value.to_owned(), message)
}

/// The same for Redis.
fn redis(value: &str) -> (String, String) {
    let message = "the URL in the Secret of spec.redis.urlSecretRef must start with redis:// and contain a host: correct it.";
    (value.to_owned(), message.to_owned())
}

fn api_certificate() -> Reference {
    let bad = |value: &str| (value.to_owned(), pair("spec.tls.secretRef"));
    Reference {
        field: "spec.tls.secretRef",
        secret: "api-tls",
        keys: vec![("tls.crt", certificate()), ("tls.key", private_key())],
        condition: RESOLVED,
        mounted: true,
        bad: vec![bad(&private_key()), bad("text")],
    }
}

fn references() -> Vec<Reference> {
    let text = str::to_owned;
    let admin = "in the Secret of spec.bootstrapAdmin.secretRef must";
    let short = "the client secret in spec.introspectionClient.secretRef must have at least 32 characters: generate one with openssl rand -hex 32.";
    vec![
        Reference {
            field: "spec.database.urlSecretRef",
            secret: "database",
            keys: vec![("uri", text("postgres://auth:s3cr3t@db.example.com:5432/auth"))],
            condition: RESOLVED,
            mounted: true,
            bad: vec![
                database("mysql://auth:x@db/auth", "it must start with postgres:// or postgresql://"),
                database("db.example.com", "it must start with postgres:// or postgresql://"),
                database("postgres:///auth", "it contains no host"),
            ],
        },
        Reference {
            field: "spec.redis.urlSecretRef",
            secret: "cache",
            keys: vec![("url", text("rediss://:s3cr3t@redis.example.com:6380"))],
            condition: RESOLVED,
            mounted: true,
            bad: vec![redis("http://redis.example.com"), redis("redis://")],
        },
        Reference {
            field: "spec.database.clientCertificateSecretRef",
            secret: "database-client",
            keys: vec![("tls.crt", certificate()), ("tls.key", private_key())],
            condition: RESOLVED,
            mounted: true,
            bad: vec![
                (private_key(), pair("spec.database.clientCertificateSecretRef")),
                (text("text"), pair("spec.database.clientCertificateSecretRef")),
            ],
        },
        Reference {
            field: "spec.redis.clientCertificateSecretRef",
            secret: "cache-client",
            keys: vec![("user.crt", certificate()), ("user.key", private_key())],
            condition: RESOLVED,
            mounted: true,
            bad: vec![(private_key(), pair("spec.redis.clientCertificateSecretRef"))],
        },
        api_certificate(),
        Reference {
            field: "spec.accounts.importedPasswordPepperSecretRef",
            secret: "old-system",
            keys: vec![("pepper", text("s3cr3t-pepper"))],
            condition: RESOLVED,
            mounted: true,
            bad: Vec::new(),
        },
        Reference {
            field: "spec.email.smtp.credentialsSecretRef",
            secret: "smtp",
            keys: vec![("user", text("mailer")), ("password", text("s3cr3t-mail"))],
            condition: RESOLVED,
            mounted: true,
            bad: Vec::new(),
        },
        Reference {
            field: "spec.bootstrapAdmin.secretRef",
            secret: "admin",
            keys: vec![
                ("username", text("root")),
                ("email", text("root@example.com")),
                ("password", text("s3cr3t-admin")),
            ],
            condition: RESOLVED,
            mounted: true,
            bad: vec![(
                text("two words"),
                format!("username {admin} consist of 1 to 64 letters, digits and . _ -: correct it."),
            )],
        },
        Reference {
            field: "spec.introspectionClient.secretRef",
            secret: "gateway",
            keys: vec![("secret", text("s3cr3t, long enough that it cannot be guessed"))],
            condition: RESOLVED,
            mounted: true,
            bad: vec![(text("too short"), text(short))],
        },
        Reference {
            field: "spec.exposure.ingress.tls.secretName",
            secret: "certificate",
            keys: vec![("tls.crt", text("chain")), ("tls.key", text("key"))],
            condition: "Exposed",
            mounted: false,
            bad: Vec::new(),
        },
    ]
}

fn spec() -> Value {
    json!({
        "issuer": "https://auth.example.com",
        "database": {
            "urlSecretRef": {"name": "database", "key": "uri"},
            "clientCertificateSecretRef": {"name": "database-client"},
        },
        "redis": {
            "urlSecretRef": {"name": "cache"},
            "clientCertificateSecretRef":
                {"name": "cache-client", "certificateKey": "user.crt", "privateKeyKey": "user.key"},
        },
        "accounts": {"importedPasswordPepperSecretRef": {"name": "old-system"}},
        "bootstrapAdmin": {"secretRef": {"name": "admin"}},
        "introspectionClient": {"id": "gateway", "secretRef": {"name": "gateway"}},
        "email": {
            "enabled": true,
            "from": {"address": "no-reply@example.com"},
            "smtp": {"host": "smtp.example.com", "credentialsSecretRef": {"name": "smtp", "usernameKey": "user"}},
            "templatesConfigMapRef": {"name": "texts"},
        },
        "tls": {"secretRef": {"name": "api-tls"}},
        "exposure": {"ingress": {"host": "auth.example.com", "tls": {"secretName": "certificate"}}},
    })
}

impl Reference {
    /// Its valid data, with another value (`None`: without it) for one key.
    fn with(&self, key: &str, value: Option<&[u8]>) -> Content {
        let keys = self.keys.iter().filter_map(|(name, good)| {
            let content = if *name == key { value?.to_vec() } else { good.clone().into_bytes() };
            Some(((*name).to_owned(), content))
        });
        keys.collect()
    }

    /// Whether a change of its data rolls the pods. The servers read client certificates for each connection,
    /// and follow the certificate of the API port.
    fn rolls(&self) -> bool {
        self.mounted && !self.field.contains("clientCertificate") && self.field != "spec.tls.secretRef"
    }

    async fn put(&self, fixture: &Fixture, content: Content) {
        let data = content.into_iter().map(|(key, value)| (key, ByteString(value))).collect();
        let metadata = ObjectMeta { name: Some(self.secret.to_owned()), ..ObjectMeta::default() };
        let secret = Secret { metadata, data: Some(data), ..Secret::default() };
        let api: Api<Secret> = fixture.api();
        let outcome = match api.get_opt(self.secret).await.expect("a response") {
            Some(_) => api.replace(self.secret, &PostParams::default(), &secret).await,
            None => api.create(&PostParams::default(), &secret).await,
        };
        outcome.expect("the Secret is written");
    }

    async fn put_good(&self, fixture: &Fixture) {
        self.put(fixture, self.with("", None)).await;
    }

    /// All invalid states: the data (`None`: no Secret), the reason, the message.
    fn faults(&self) -> Vec<(Option<Content>, &'static str, String)> {
        let Self { field, secret, keys, .. } = self;
        let names: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
        let all = names.join(" and ");
        let mut faults = vec![(
            None,
            "SecretMissing",
            format!(
                "{field} references the Secret {secret}, which does not exist: create it with the key {all}."
            ),
        )];
        for key in names {
            let of_key = format!("the key {key} of the Secret {secret}, which {field} references,");
            faults.push((
                Some(self.with(key, None)),
                "SecretKeyMissing",
                format!("the Secret {secret}, which {field} references, has no key {key}: add it."),
            ));
            let empty = format!("{of_key} is empty: set a value.");
            faults.push((Some(self.with(key, Some(b""))), "SecretInvalid", empty.clone()));
            let bytes = format!("{of_key} is not UTF-8 text: correct it.");
            faults.push((Some(self.with(key, Some(&[0xff, 0xfe, 0x00]))), "SecretInvalid", bytes));
            faults.push((Some(self.with(key, Some(b"\r\n"))), "SecretInvalid", empty));
        }
        let first = self.keys[0].0;
        for (value, message) in &self.bad {
            faults.push((Some(self.with(first, Some(value.as_bytes()))), "SecretInvalid", message.clone()));
        }
        faults
    }
}

async fn wait_for_words(fixture: &Fixture, kind: &str, reason: &str, message: &str) {
    wait_for(fixture.api::<AuthService>(), NAME, |object| {
        let found = object.and_then(|object| condition(object, kind)).ok_or("no condition")?;
        let fits = found.status == "False" && found.reason == reason && found.message == message;
        fits.then_some(()).ok_or_else(|| format!("{found:?}, not {reason}: {message}"))
    })
    .await;
}

async fn texts(fixture: &Fixture, content: &str) {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "texts", "namespace": fixture.namespace},
        "data": {"layout.html": content},
    });
    latchkey_tests::control_plane::apply(&fixture.client, &object).await;
}

#[tokio::test]
async fn each_invalid_reference_is_reported_until_it_is_corrected() {
    let fixture = Fixture::new("references").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    for reference in references() {
        reference.put_good(&fixture).await;
    }
    texts(&fixture, "a").await;
    fixture.apply(spec()).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_condition("Exposed", "True").await;

    for reference in references() {
        let generation = async || fixture.any("Deployment").get(NAME).await.expect("it").metadata.generation;
        let before = generation().await;
        let faults = reference.faults();
        for (content, reason, message) in &faults {
            if let Some(content) = content {
                reference.put(&fixture, content.clone()).await;
            } else {
                let api: Api<Secret> = fixture.api();
                api.delete(reference.secret, &DeleteParams::default()).await.expect("it is deleted");
            }
            wait_for_words(&fixture, reference.condition, reason, message).await;
        }
        if reference.mounted {
            let (_, reason, message) = faults.last().expect("one");
            wait_for_words(&fixture, "Ready", reason, message).await;
        }
        let events = fixture.events().await;
        let reported = |reason: &str| {
            events
                .iter()
                .any(|event| event.0 == "Warning" && event.1 == reason && event.2.contains(reference.secret))
        };
        assert!(reported("SecretMissing"), "{}: {events:?}", reference.field);
        // A trailing line break, as `echo` writes it, is ignored: the pods do not roll.
        let ends = |value: &String| [value.as_bytes(), b"\n"].concat();
        let broken = reference.keys.iter().map(|(key, good)| ((*key).to_owned(), ends(good))).collect();
        reference.put(&fixture, broken).await;
        fixture.wait_for_condition(reference.condition, "True").await;
        fixture.wait_for_condition("Ready", "True").await;
        assert_eq!(generation().await, before, "{}: the pods were rolled", reference.field);

        if reference.rolls() {
            let checksum = fixture.checksum().await;
            let (key, good) = reference.keys.last().expect("a key");
            // Like External Secrets or CloudNativePG: the same Secret, with another value.
            let rotated = good.replace("s3cr3t", "r0tated");
            reference.put(&fixture, reference.with(key, Some(rotated.as_bytes()))).await;
            fixture.wait_for_other_checksum(&checksum).await;
            fixture.wait_for_condition("Ready", "True").await;
        }
    }

    // The e-mail templates.
    let api: Api<ConfigMap> = fixture.api();
    let checksum = fixture.checksum().await;
    api.delete("texts", &DeleteParams::default()).await.expect("it is deleted");
    let message = "spec.email.templatesConfigMapRef references the ConfigMap texts, which does not exist: create it, or remove the reference.";
    wait_for_words(&fixture, "Ready", "ConfigMapMissing", message).await;
    assert_eq!(fixture.checksum().await, checksum);
    texts(&fixture, "b").await;
    fixture.wait_for_other_checksum(&checksum).await;
    fixture.wait_for_condition("Ready", "True").await;

    assert!(
        !operator.log().contains("s3cr3t") && !format!("{:?}", fixture.events().await).contains("s3cr3t")
    );
    assert!(!json!(fixture.auth_service().await.status).to_string().contains("s3cr3t"));
}

/// The table contains every reference of the schema.
#[test]
fn every_reference_of_the_schema_is_tested() {
    let text = std::fs::read_to_string(latchkey_tests::control_plane::auth_service_crd()).expect("the CRD");
    let crd: Value = serde_yaml_ng::from_str(&text).expect("YAML");
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut found = Vec::new();
    collect(schema, "spec", &mut found);
    let mut known: Vec<String> = references().iter().map(|reference| reference.field.to_owned()).collect();
    // The operator does not read these; the kubelet does.
    known.extend(["spec.image.pullSecrets", "spec.email.templatesConfigMapRef"].map(str::to_owned));
    found.sort();
    known.sort();
    assert_eq!(found, known);
}

fn collect(schema: &Value, path: &str, found: &mut Vec<String>) {
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let lower = name.to_lowercase();
        if lower.contains("secret") || lower.contains("configmap") {
            found.push(path);
        } else {
            collect(part, &path, found);
        }
    }
}

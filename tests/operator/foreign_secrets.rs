//! The data of a Secret are only read while an AuthService references it, or if the operator owns it.

use std::fs;
use std::io::{Read, Seek, SeekFrom};

use kube::api::{Patch, PatchParams};
use latchkey_tests::operator::Operator;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::fixture::Fixture;

fn named(secret: &str) -> Value {
    json!({"database": {"urlSecretRef": {"name": secret}}})
}

fn url(password: &str) -> String {
    format!("postgres://auth:{password}@db.example.com/auth")
}

/// A unique text.
fn marker() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Whether the memory of the process contains a text, including freed memory, or its base64 form in the data of a
/// Secret.
fn remembers(operator: &Operator, text: &str) -> bool {
    let folder = format!("/proc/{}", operator.process_id());
    let maps = fs::read_to_string(format!("{folder}/maps")).expect("the memory's map");
    let mut memory = fs::File::open(format!("{folder}/mem")).expect("the memory");
    maps.lines().filter(|line| line.contains(" rw-p ")).any(|line| {
        let range = line.split(' ').next().unwrap_or_default();
        let (from, to) = range.split_once('-').expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        let (from, to) = (number(from), number(to));
        let mut content = vec![0; usize::try_from(to - from).expect("a length")];
        // Guard pages cannot be read.
        let read = memory.seek(SeekFrom::Start(from)).and_then(|_| memory.read_exact(&mut content));
        read.is_ok() && content.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// The part of a text's base64 form that does not depend on its position.
fn encoded(password: &str) -> String {
    use base64::Engine;
    let text = base64::prelude::BASE64_STANDARD.encode(url(password));
    text[16..56].to_owned()
}

#[tokio::test]
async fn a_secret_without_a_reference_is_never_read() {
    let fixture = Fixture::new("foreign").await;
    let _kubelet = fixture.start_kubelet();
    let (before, after, wanted) = (marker(), marker(), marker());
    fixture.apply_secret("there-before", &[("url", &url(&before))]).await;
    fixture.apply_secret("database", &[("url", &url(&wanted))]).await;
    let operator = fixture.start_operator().await;
    fixture.apply(named("database")).await;
    fixture.wait_for_condition("Ready", "True").await;
    // A Secret that is created while the operator watches, and one that changes.
    fixture.apply_secret("came-later", &[("url", &url(&after))]).await;
    fixture.apply_secret("there-before", &[("url", &url(&before)), ("more", "1")]).await;
    // The operator has observed a later change, and therefore these as well.
    let checksum = fixture.checksum().await;
    let wanted_now = marker();
    fixture.apply_secret("database", &[("url", &url(&wanted_now))]).await;
    fixture.wait_for_other_checksum(&checksum).await;

    let audit = &fixture.control_plane.audit;
    let reads = audit.secrets_read_by(&fixture.installation.user);
    // The operator lists as a watch that begins with the present objects. The audit log does not say whether a watch is one of
    // metadata only; the search of the memory below does.
    let seen = |verbs: &[&str]| reads.iter().any(|read| verbs.contains(&read.verb.as_str()));
    assert!(seen(&["get"]) && seen(&["list", "watch"]), "{reads:?}");
    for read in &reads {
        match read.verb.as_str() {
            "get" => assert!(read.name == "database" || read.name.starts_with("auth-"), "{read:?}"),
            "list" => assert!(read.selected || read.answer == "PartialObjectMetadataList", "{read:?}"),
            _ => {}
        }
    }
    assert!(
        remembers(&operator, &encoded(&wanted_now)),
        "the search does not find the data of a referenced Secret"
    );
    for foreign in [before, after] {
        assert!(!remembers(&operator, &encoded(&foreign)) && !remembers(&operator, &foreign));
    }
}

#[tokio::test]
async fn a_referenced_secret_is_read_once_per_change() {
    let fixture = Fixture::new("named").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let gets = |name: &str| {
        let reads = fixture.control_plane.audit.secrets_read_by(&fixture.installation.user);
        reads.iter().filter(|read| read.verb == "get" && read.name == name).count()
    };
    fixture.apply_secret("first", &[("url", &url("one"))]).await;
    fixture.apply_secret("second", &[("url", &url("two"))]).await;
    fixture.apply(named("first")).await;
    fixture.wait_for_condition("Ready", "True").await;
    assert_eq!((gets("first"), gets("second")), (1, 0));
    let before = fixture.checksum().await;
    fixture.apply_secret("first", &[("url", &url("other"))]).await;
    let before = fixture.wait_for_other_checksum(&before).await;
    assert_eq!(gets("first"), 2);
    fixture.apply(named("second")).await;
    let before = fixture.wait_for_other_checksum(&before).await;
    assert_eq!((gets("first"), gets("second")), (2, 1));
    // A Secret without references is ignored; when it is referenced again, its current data are read.
    fixture.apply_secret("first", &[("url", &url("third"))]).await;
    fixture.apply(named("first")).await;
    fixture.wait_for_other_checksum(&before).await;
    assert_eq!((gets("first"), gets("second")), (3, 1));
}

/// After a start, all AuthServices are reconciled at the same time.
#[tokio::test]
async fn a_secret_that_many_auth_services_reference_is_read_once() {
    let fixture = Fixture::new("shared-secret").await;
    fixture.apply_secret("shared", &[("url", &url("one"))]).await;
    let names: Vec<String> = (0..12).map(|number| format!("shared-{number}")).collect();
    for name in &names {
        let object = json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService",
            "metadata": {"name": name, "namespace": fixture.namespace}, "spec": named("shared"),
        });
        latchkey_tests::control_plane::apply(&fixture.client, &object).await;
    }
    let _operator = fixture.start_operator().await;
    let services = fixture.api::<latchkey_crds::AuthService>();
    for name in &names {
        wait::until("a condition", async || {
            let service = services.get(name).await.expect("the AuthService");
            wait::check(service.status.is_some_and(|status| !status.conditions.is_empty()), name)
        })
        .await;
    }
    let reads = fixture.control_plane.audit.secrets_read_by(&fixture.installation.user);
    let gets = reads.iter().filter(|read| read.verb == "get" && read.name == "shared").count();
    assert_eq!(gets, 1, "{reads:?}");
}

/// The watch selects the operator's own Secrets by a label, which another client may remove.
#[tokio::test]
async fn the_label_of_an_owned_secret_is_restored_and_its_data_is_kept() {
    let fixture = Fixture::new("unlabelled").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    for name in ["auth-jwt-keys", "auth-redis", "auth-postgres"] {
        let secrets = fixture.any("Secret");
        let before = secrets.get(name).await.expect("the Secret");
        let none = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
        secrets
            .patch(name, &PatchParams::default(), &Patch::Merge(none))
            .await
            .expect("the API server accepts it");
        let label = "/metadata/labels/app.kubernetes.io~1managed-by";
        fixture.wait_for_value("Secret", name, label, &json!("latchkey-operator")).await;
        let after = secrets.get(name).await.expect("the Secret");
        assert_eq!((before.metadata.uid, &before.data), (after.metadata.uid, &after.data), "{name}");
    }
    wait::until("Ready to be True", async || {
        let auth_service = fixture.auth_service().await;
        let ready = crate::fixture::condition(&auth_service, "Ready").cloned();
        wait::check(ready.as_ref().is_some_and(|ready| ready.status == "True"), ready)
    })
    .await;
}

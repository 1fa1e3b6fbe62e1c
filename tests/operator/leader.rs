//! Several operator replicas: one is active.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::DeleteParams;
use latchkey_tests::blackhole::Blackhole;
use latchkey_tests::control_plane::apply;
use latchkey_tests::link::Link;
use latchkey_tests::operator::Operator;
use latchkey_tests::wait;
use serde_json::json;

use crate::fixture::{Fixture, NAME};
use crate::hanging_requests::hang;

async fn leads(operator: &Operator) -> bool {
    operator.metric("latchkey_operator_leader", &[]).await > 0.5
}

async fn wait_until_leading(operator: &Operator) {
    wait::until_equal("the operator's leadership", true, async || leads(operator).await).await;
}

/// This number of AuthServices occupies all reconcile slots.
const BUSY: usize = 32;
const LEASE: &str = "latchkey-operator";
/// How long a replica may write after its last renewal.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// The address by which the audit log distinguishes the disturbed replica.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);

/// Whether it leads; a stopped one does not.
async fn still_leads(operator: &Operator) -> bool {
    operator.get("/metrics").await.is_ok_and(|text| text.contains("latchkey_operator_leader 1"))
}

async fn lease(fixture: &Fixture) -> Option<Lease> {
    fixture.api::<Lease>().get_opt(LEASE).await.expect("a response")
}

async fn holder(fixture: &Fixture) -> Option<String> {
    lease(fixture).await?.spec?.holder_identity
}

/// A leading replica that connects through a proxy, and a waiting one.
async fn start_both(fixture: &Fixture, link: &Link) -> (Operator, Operator) {
    let mut first = fixture.installation.through(fixture.control_plane, link).start("operator-0");
    first.wait_until_ready().await;
    wait_until_leading(&first).await;
    let mut second = fixture.installation.start("operator-1");
    second.wait_until_ready().await;
    (first, second)
}

/// Makes the leader busy with writes, and holds back the API server's responses after some of them.
async fn hold_during_writes(fixture: &Fixture, link: &Link) {
    stream::iter(0..BUSY)
        .for_each_concurrent(8, async |number| {
            let metadata = json!({"name": format!("busy-{number}"), "namespace": fixture.namespace});
            let object = json!({
                "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": metadata, "spec": {},
            });
            apply(&fixture.client, &object).await;
        })
        .await;
    wait::until("ten writes", async || {
        let writes = writes_of_first(fixture);
        wait::check(writes >= 10, writes)
    })
    .await;
    link.hold_answers();
}

fn writes_of_first(fixture: &Fixture) -> usize {
    let audit = &fixture.control_plane.audit;
    audit.writes_from(&fixture.installation.user, &SOURCE.to_string()).len()
}

async fn applied(operator: &Operator) -> f64 {
    operator.metric("latchkey_operator_applied_objects_total", &[]).await
}

#[tokio::test]
async fn a_standby_takes_over_from_the_leader() {
    let fixture = Fixture::new("leader").await;
    let _kubelet = fixture.start_kubelet();
    let mut first = fixture.installation.start("operator-0");
    first.wait_until_ready().await;
    wait_until_leading(&first).await;
    let mut second = fixture.installation.start("operator-1");
    second.wait_until_ready().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    assert!(!leads(&second).await, "two operators lead");
    assert!(applied(&first).await > 0.0);
    assert!(applied(&second).await < 0.5, "the standby applied objects");

    // After a kill the lease must expire first.
    first.kill();
    wait_until_leading(&second).await;
    fixture.merge(json!({"spec": {"replicas": 2}})).await;
    fixture.wait_for_value("Deployment", NAME, "/spec/replicas", &json!(2)).await;

    // A graceful stop releases the lease.
    let mut third = fixture.installation.start("operator-2");
    third.wait_until_ready().await;
    second.terminate();
    let stopped = Instant::now();
    wait_until_leading(&third).await;
    assert!(stopped.elapsed() < Duration::from_secs(8), "it waited for the expiry of the lease");
    fixture.merge(json!({"spec": {"replicas": 3}})).await;
    fixture.wait_for_value("Deployment", NAME, "/spec/replicas", &json!(3)).await;
}

#[tokio::test]
async fn a_lease_expires_by_the_time_of_the_request_that_renewed_it() {
    let fixture = Fixture::new("late").await;
    let link = Link::to(fixture.control_plane.port());
    let (first, second) = start_both(&fixture, &link).await;
    link.hold_answers();
    let version = async || lease(&fixture).await.and_then(|lease| lease.metadata.resource_version);
    let before = version().await;
    wait::until("a renewal", async || {
        let now = version().await;
        wait::check(now != before, now)
    })
    .await;
    let renewed = Instant::now();
    // The response arrives in time, and is the last one that the replica receives.
    wait::until("seven seconds since the renewal", async || {
        wait::check(renewed.elapsed() > Duration::from_secs(7), renewed.elapsed())
    })
    .await;
    link.hold_requests();
    wait::until_equal("the first operator's leadership", false, async || {
        assert!(!leads(&second).await || !still_leads(&first).await, "two operators lead");
        still_leads(&first).await
    })
    .await;
    let led = renewed.elapsed();
    assert!(
        led < RENEW_DEADLINE + Duration::from_secs(1),
        "it led for {led:?} after the renewal of its lease"
    );
    wait_until_leading(&second).await;
}

#[tokio::test]
async fn a_suspended_leader_writes_nothing_after_another_took_over() {
    let fixture = Fixture::new("stopped").await;
    let link = Link::from(SOURCE, fixture.control_plane.port());
    let (mut first, second) = start_both(&fixture, &link).await;
    hold_during_writes(&fixture, &link).await;
    first.pause();
    // The responses for its reconciles have arrived when it continues.
    link.mend();
    wait_until_leading(&second).await;
    let before = writes_of_first(&fixture);
    first.resume();
    first.wait_until_ended();
    let sent = fixture.control_plane.audit.writes_from(&fixture.installation.user, &SOURCE.to_string());
    assert_eq!(sent[before..], [], "the operator wrote although another one leads");
    // The other replica finishes the work.
    let services = fixture.api::<latchkey_crds::AuthService>();
    wait::until_equal("the AuthServices without conditions", 0, async || {
        let all = services.list(&kube::api::ListParams::default()).await.expect("the AuthServices");
        all.iter().filter(|one| one.status.as_ref().is_none_or(|status| status.conditions.is_empty())).count()
    })
    .await;
}

#[tokio::test]
async fn the_lease_is_not_released_during_a_write() {
    let fixture = Fixture::new("unanswered").await;
    let webhook = Blackhole::listen("127.0.0.1:0").await;
    let webhook_name = hang(&fixture, &webhook).await;
    let mut first = fixture.start_operator().await;
    wait_until_leading(&first).await;
    let held_by = holder(&fixture).await;
    assert!(held_by.as_deref().is_some_and(|holder| holder.starts_with("operator-0_")), "{held_by:?}");
    let object = |name: String| {
        let metadata = json!({"name": name, "namespace": fixture.namespace});
        json!({"apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": metadata, "spec": {}})
    };
    // Requests only hang after the API server has loaded the webhook.
    let number = Cell::new(0);
    wait::until("a write to hang", async || {
        let next = number.replace(number.get() + 1);
        if next < 20 {
            apply(&fixture.client, &object(format!("hanging-{next}"))).await;
        }
        wait::check(webhook.accepted() > 0, "no request to the webhook")
    })
    .await;
    first.terminate();
    assert_eq!(holder(&fixture).await, held_by, "the lease was released");
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(fixture.client.clone());
    webhooks.delete(&webhook_name, &DeleteParams::default()).await.expect("it is deleted");
}

#[tokio::test]
async fn the_holder_of_a_deleted_lease_creates_it_again() {
    let fixture = Fixture::new("deleted-lease").await;
    let link = Link::from(SOURCE, fixture.control_plane.port());
    let (first, second) = start_both(&fixture, &link).await;
    for _ in 0..4 {
        fixture.api::<Lease>().delete(LEASE, &DeleteParams::default()).await.expect("it is deleted");
        let holder =
            wait::until("the lease to be created again", async || holder(&fixture).await.ok_or("no holder"))
                .await;
        assert!(holder.starts_with("operator-0_"), "{holder} holds it");
        assert!(leads(&first).await && !leads(&second).await);
    }
}

//! The conditions `Exposed` and `CertificateValid`, for what other controllers report.

use kube::core::DynamicObject;
use kube::core::metadata::ObjectMeta;
use latchkey_crds::conditions::{CERTIFICATE_VALID, EXPOSED};
use serde_json::{Value, json};

use super::facts::ConditionStatus;
use super::tests::World;
use crate::auth_service::certificate::Certificate;
use crate::auth_service::fixtures::{auth_service, embedded, validated};
use crate::cluster::cache::{Optional, Presence};
use crate::cluster::kinds::Kind;

fn exposed(exposure: &Value) -> World {
    let service = validated(&auth_service(json!({"exposure": exposure})), embedded());
    let mut world = World { service, ..World::healthy() };
    world.external_state.optional = Kind::OPTIONAL
        .into_iter()
        .fold(Optional::default(), |optional, kind| optional.with(kind, Presence::Present));
    world
}

fn object(status: &Value) -> DynamicObject {
    DynamicObject { types: None, metadata: ObjectMeta::default(), data: json!({"status": status}) }
}

fn condition(type_: &str, status: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "message": message})
}

#[test]
fn the_address_of_an_ingress_is_reported() {
    let mut world = exposed(&json!({"ingress": {"host": "auth.example.com"}}));
    let message = world.expect_condition(EXPOSED, ConditionStatus::True, "IngressApplied");
    assert!(message.contains("has not reported an address"), "{message}");
    for (addresses, served) in [(json!([]), false), (json!([{"ip": "192.0.2.1"}]), true)] {
        let status = json!({"status": {"loadBalancer": {"ingress": addresses}}});
        world.external_state.exposure.ingress = Some(serde_json::from_value(status).unwrap());
        let message = world.expect_condition(EXPOSED, ConditionStatus::True, "IngressApplied");
        assert_eq!(message == "The Ingress serves auth.example.com.", served, "{message}");
    }
}

#[test]
fn a_certificate_must_be_issued_for_both_conditions() {
    let tls = json!({"certificate": {"issuerRef": {"name": "ca"}}});
    let mut world = exposed(&json!({"ingress": {"host": "auth.example.com", "tls": tls}}));
    let without = world.expect_condition(EXPOSED, ConditionStatus::False, "CertificateNotReady");
    assert!(without.ends_with("it has no status yet"), "{without}");
    let mut reported = |conditions: Value| {
        let status = json!({"conditions": conditions, "notAfter": "2027-01-01T00:00:00Z"});
        world.external_state.exposure.certificate = Some(object(&status));
        let decided = world.decide().0;
        let state = |type_: &str| (decided[type_].reason, decided[type_].message.clone());
        (state(EXPOSED), state(CERTIFICATE_VALID))
    };
    let issuing = condition("Issuing", "True", "another attempt");
    let failed = condition("Ready", "False", "the issuer does not exist");
    let (exposed, valid) = reported(json!([issuing, failed]));
    assert_eq!((exposed.0, valid.0), ("CertificateNotReady", "CertificateNotReady"));
    assert!(exposed.1.ends_with("the issuer does not exist"), "{}", exposed.1);
    let (exposed, valid) =
        reported(json!([condition("Issuing", "False", ""), condition("Ready", "True", "")]));
    assert_eq!((exposed.0, valid.0), ("IngressApplied", "Valid"));
    assert!(valid.1.ends_with("until 2027-01-01T00:00:00Z."), "{}", valid.1);
}

#[test]
fn a_certificate_in_a_secret_is_reported_as_valid_or_not() {
    let mut world = exposed(&json!({"ingress": {"host": "auth.example.com", "tls": {"secretName": "tls"}}}));
    world.external_state.exposure.tls = Some(Ok(Certificate::WrongHost("auth.example.com".to_owned())));
    world.expect_condition(CERTIFICATE_VALID, ConditionStatus::False, "WrongHost");
    world.external_state.exposure.tls =
        Some(Ok(Certificate::ExpiresSoon("2026-12-01T00:00:00Z".parse().unwrap())));
    let message = world.expect_condition(CERTIFICATE_VALID, ConditionStatus::True, "ExpiresSoon");
    assert!(message.contains("the Secret tls expires at 2026-12-01"), "{message}");
}

#[test]
fn every_parent_of_a_route_must_accept_it_and_its_references() {
    let gateway =
        json!({"parentRefs": [{"name": "one"}, {"name": "two"}], "hostnames": ["a.example", "b.example"]});
    let mut world = exposed(&json!({"gateway": gateway}));
    world.expect_condition(EXPOSED, ConditionStatus::Unknown, "GatewayPending");
    let parent =
        |name: &str, conditions: Value| json!({"parentRef": {"name": name}, "conditions": conditions});
    let good = json!([condition("Accepted", "True", ""), condition("ResolvedRefs", "True", "")]);
    let mut reported = |second: Value, status, reason| {
        let parents = json!([parent("one", good.clone()), parent("two", second)]);
        world.external_state.exposure.http_route = Some(object(&json!({"parents": parents})));
        world.expect_condition(EXPOSED, status, reason)
    };
    // Other conditions are those of the controller.
    let others = json!([condition("Programmed", "False", "later"), condition("Accepted", "True", "")]);
    for accepted in [good.clone(), others, json!([])] {
        let message = reported(accepted, ConditionStatus::True, "RouteAccepted");
        assert_eq!(message, "The route serves a.example, b.example.");
    }
    for (refused, why) in [
        (json!([condition("Accepted", "False", "no listener")]), "no listener"),
        (
            json!([condition("Accepted", "True", ""), condition("ResolvedRefs", "False", "no Service")]),
            "no Service",
        ),
    ] {
        let message = reported(refused, ConditionStatus::False, "NotAccepted");
        assert!(message.starts_with("The Gateway two ") && message.ends_with(why), "{message}");
    }
}

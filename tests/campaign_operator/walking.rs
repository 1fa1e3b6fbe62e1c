//! Carries out a walk, and compares its end with the same spec in an empty namespace.

use std::cell::RefCell;
use std::time::Duration;

use latchkey_tests::operator::Operator;
use serde_json::json;

use crate::checker::{NOTE, Rule, Violation};
use crate::history::{Entry, Permit};
use crate::normal::{Normal, differences, normalise};
use crate::random::Random;
use crate::run::{RESULT_WITHIN, be_quiet, reach_base};
use crate::scenario::Scenario;
use crate::walk;
use crate::world::Place;

/// The objects that a walk may remove and want again.
const OPTIONAL: [(&str, &str); 10] = [
    ("Certificate", "auth"),
    ("HTTPRoute", "auth"),
    ("Ingress", "auth"),
    ("NetworkPolicy", "auth"),
    ("NetworkPolicy", "auth-migrations"),
    ("NetworkPolicy", "auth-postgres"),
    ("NetworkPolicy", "auth-redis"),
    ("PodDisruptionBudget", "auth"),
    ("Secret", "auth-smtp"),
    ("ServiceMonitor", "auth"),
];

/// Walks. Returns the violations.
pub async fn follow(place: &Place<'_>, seed: u64, operator: &RefCell<Option<Operator>>) -> Vec<Violation> {
    operator.replace(Some(reach_base(place, Scenario::Scale).await));
    permit_optional(place);
    let mut random = Random::new(seed).derive(2);
    for spec in walk::specs(seed) {
        match place.try_apply(&spec).await {
            Ok(()) => place.proxy.shared.strike(),
            Err(kube::Error::Api(status)) if status.code == 422 => {}
            Err(error) => panic!("{spec}: {error}"),
        }
        tokio::time::sleep(random.between(Duration::ZERO, Duration::from_millis(1500))).await;
    }
    let end = walk::end(seed);
    place.apply(&end).await;
    let fresh = place.world.namespace().await;
    Scenario::Create.prepare(&fresh).await;
    let of_fresh = fresh.start_operator(&[]);
    fresh.apply(&end).await;

    let deadline = tokio::time::Instant::now() + RESULT_WITHIN;
    let different = || {
        let [expected, found] = [&fresh, place]
            .map(|place| comparable(place.history.with_objects(|objects| normalise(&place.name, objects))));
        let mut all = differences(&expected, &found);
        if all.is_empty() && !Scenario::Create.is_done(&place.history) {
            all.push("the AuthService is not ready".to_owned());
        }
        all
    };
    while !different().is_empty() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut violations = Vec::new();
    if different().is_empty() {
        let running = operator.take().expect("an operator");
        be_quiet(place, &running, &mut violations).await;
        operator.replace(Some(running));
        be_quiet(&fresh, &of_fresh, &mut violations).await;
    }
    let left = different();
    if !left.is_empty() {
        violations.push(Violation::new(Rule::OtherResult, format!("{}; spec {end}", left.join("; "))));
    }
    violations
}

/// Permits to delete and create what another spec does not need.
fn permit_optional(place: &Place<'_>) {
    for (kind, name) in OPTIONAL {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        place.history.add(Entry::Permits(Permit::Replacement { kind, name }));
    }
}

/// Without what the past explains: Jobs of earlier images, the number of rollouts, and notes of others.
fn comparable(mut objects: Normal) -> Normal {
    objects.retain(|name, _| !name.starts_with("Job/"));
    for (name, object) in &mut objects {
        let annotations = object["metadata"]["annotations"].as_object_mut();
        if let Some(annotations) = annotations {
            annotations.remove(NOTE);
            annotations.remove("deployment.kubernetes.io/revision");
        }
        if object["metadata"]["annotations"].as_object().is_some_and(serde_json::Map::is_empty)
            && let Some(metadata) = object["metadata"].as_object_mut()
        {
            metadata.remove("annotations");
        }
        if name.starts_with("AuthService/") {
            object["status"]["keyRequests"] = json!(null);
        }
    }
    objects
}

//! An AuthService that is changed all the time is looked after all the same.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

/// How many change it beside each other.
const TOUCHING: usize = 8;

#[tokio::test]
async fn what_never_rests_is_repaired() {
    let fixture = Fixture::new("restless").await;
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    wait_for(fixture.any("Service"), NAME, |service| service.map(drop).ok_or("no Service".to_owned())).await;
    // More often than the operator waits for a pause in the changes, however slow one request is.
    let touching = futures::future::join_all((0..TOUCHING).map(|_| async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            fixture.touch().await;
        }
    }));
    let repaired = async {
        let drift = json!({"spec": {"selector": {"app.kubernetes.io/instance": "somebody-else"}}});
        let patch = Patch::Merge(drift);
        fixture.any("Service").patch(NAME, &PatchParams::default(), &patch).await.expect("it is taken");
        let selected = "/spec/selector/app.kubernetes.io~1instance";
        fixture.wait_for_value("Service", NAME, selected, &json!(NAME)).await;
    };
    tokio::select! {
        () = repaired => {}
        _ = touching => {}
    }
}

//! The operator is killed while it reconciles.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use latchkey_tests::wait;
use serde_json::json;

use crate::fixture::{Fixture, condition};

/// Without leader election, because each new process would wait for the lease of the killed one.
const NO_ELECTION: &str = "leaderElection.enabled=false";

#[tokio::test]
async fn an_operator_that_is_killed_after_every_write_generates_one_key_set() {
    let fixture = Fixture::with_values("crash", &[NO_ELECTION]).await;
    let _kubelet = fixture.start_kubelet();
    fixture.apply(json!({})).await;
    let mut kills = 0;
    let mut first_keys = None;
    loop {
        assert!(kills < 100, "it is not ready after {kills} kills");
        let before = fixture.writes().len();
        let mut operator = fixture.installation.start("operator-0");
        // Waits until it has written another object, or has nothing left to write.
        let ready = wait::until("a write", async || {
            let auth_service = fixture.auth_service().await;
            let ready = condition(&auth_service, "Ready").is_some_and(|ready| ready.status == "True");
            let writes = fixture.writes().len();
            if ready || writes > before { Ok(ready) } else { Err(format!("{writes} writes")) }
        })
        .await;
        operator.kill();
        kills += 1;
        let keys = fixture.api::<Secret>().get_opt("auth-jwt-keys").await.expect("a response");
        if let (None, Some(keys)) = (&first_keys, &keys) {
            first_keys = Some((keys.uid(), keys.data.clone()));
        }
        if ready {
            break;
        }
    }
    assert!(kills > 2, "it was killed before it was done");

    let _operator = fixture.start_operator().await;
    fixture.wait_for_condition("Ready", "True").await;
    let keys = fixture.api::<Secret>().get("auth-jwt-keys").await.expect("the keys");
    assert_eq!(Some((keys.uid(), keys.data)), first_keys);
    // A request of a killed client is not always recorded as successful.
    let created = |name: &str| {
        let writes = fixture.writes();
        writes.iter().filter(|w| w.resource == "secrets" && w.name == name && w.code == 201).count()
    };
    assert!(created("auth-jwt-keys") <= 1, "another key set was generated");
    assert!(created("auth-postgres") <= 1, "other credentials were generated");
    let owned = fixture.owned().await;
    assert_eq!(owned.keys().filter(|name| name.starts_with("Job/")).count(), 1, "{:?}", owned.keys());
}

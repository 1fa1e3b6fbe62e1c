//! Deleting an AuthService.

use latchkey_crds::AuthService;
use latchkey_tests::logs::secret;
use serde_json::json;

use crate::namespace::{NAME, Namespace};
use crate::waiting::wait_for;
use crate::{objects, stores};

#[tokio::test]
async fn a_deletion_leaves_only_objects_of_other_clients() {
    let namespace = Namespace::new("deletion").await;
    stores::apply_admin(&namespace, &secret("admin")).await;
    stores::apply_smtp_credentials(&namespace, &secret("smtp")).await;
    objects::wait_for_namespace(&namespace.client, &namespace.name).await;
    let before = objects::of_namespace(&namespace.client, &namespace.name).await;

    let mut spec = stores::spec(2);
    spec["database"] = json!({"embedded": {"storage": "64Mi"}});
    spec["redis"] = json!({"embedded": {}});
    spec["trustedCAs"] = json!([]);
    namespace.bring_up("embedded stores with a volume, 2 replicas", spec).await;
    let present = objects::of_namespace(&namespace.client, &namespace.name).await;
    for kind in
        ["PersistentVolumeClaim", "Deployment", "Job", "PodDisruptionBudget", "Service", "StatefulSet"]
    {
        assert!(
            present.iter().any(|object| object.contains(&format!("/{kind}/"))),
            "no {kind} in {present:?}"
        );
    }
    assert!(present.contains(&format!("{}/Secret/auth-jwt-keys", namespace.name)), "{present:?}");

    namespace
        .api::<AuthService>()
        .delete(NAME, &kube::api::DeleteParams::default())
        .await
        .expect("it is deleted");
    wait_for("all objects of the AuthService to be deleted", async || {
        let now = objects::of_namespace(&namespace.client, &namespace.name).await;
        if now == before {
            Ok(())
        } else {
            Err(format!("left: {:?}; missing: {:?}", &now - &before, &before - &now))
        }
    })
    .await;
}

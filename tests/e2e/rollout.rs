//! A new version of the server, and changed credentials of the database.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::ListParams;
use latchkey_crds::conditions;
use latchkey_tests::logs::secret;
use serde_json::json;

use crate::client::Client;
use crate::namespace::{Namespace, uids};
use crate::poller::{Poller, Tries};
use crate::stores;

#[tokio::test]
async fn no_request_fails_during_an_upgrade_or_a_change_of_the_database_password() {
    let namespace = Namespace::new("rollout").await;
    let stores = stores::start(&namespace).await;
    let client = Client::start(&namespace).await;
    namespace.bring_up("external stores, 2 replicas", stores::spec(2)).await;
    client.wait_until_routed().await;
    let session = client.log_in("root.admin", &stores.admin_password);
    // The login probe has succeeded on each replica.
    namespace.wait_for_condition(conditions::LOGIN_WORKS, "True").await;
    namespace.wait_for_condition(conditions::MAIL_READY, "True").await;
    let jobs = namespace.api::<Job>();
    let first = jobs.list(&ListParams::default()).await.expect("Jobs").items.remove(0).name_any();

    let poller = Poller::start(&namespace, &client, Tries::One).await;
    let next = namespace.cluster.load_next_server();
    let (repository, tag) = next.rsplit_once(':').expect("an image with a tag");
    let old = uids(&namespace.server_pods().await);
    namespace.merge(json!({"spec": {"image": {"repository": repository, "tag": tag}}})).await;
    let pods = namespace.wait_for_server_pods(2, &old).await;
    namespace.wait_until_ready().await;
    for pod in &pods {
        assert_eq!(pod.spec.as_ref().expect("a spec").containers[0].image.as_deref(), Some(next.as_str()));
    }
    let left = jobs.list(&ListParams::default()).await.expect("Jobs").items;
    assert!(left.len() == 1 && left[0].name_any() != first, "not exactly one Job, of the new version");

    // A new role, as tools create that rotate passwords; the old one remains valid for a while.
    let password = secret("rotated");
    stores::add_database_role(&namespace, "rotated", &password);
    let old = uids(&pods);
    let url = format!("postgres://rotated:{password}@postgres:5432/auth");
    namespace.apply_secret("database", &[("url", &url)]).await;
    namespace.wait_for_server_pods(2, &old).await;
    namespace.wait_until_ready().await;
    poller.stop().await;
    client.me(&session.access).ok(200);
    client.refresh(&session).ok(200);
}

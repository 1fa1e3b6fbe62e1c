//! A server that cannot start reports the cause in its condition.

use latchkey_crds::{AuthService, conditions};
use latchkey_tests::logs::secret;
use serde_json::json;

use crate::client::Client;
use crate::namespace::{NAME, Namespace};
use crate::stores;
use crate::waiting::wait_for;

#[tokio::test]
async fn a_common_password_of_the_first_superuser_is_reported_until_it_is_changed() {
    let namespace = Namespace::new("first-superuser").await;
    let client = Client::start(&namespace).await;
    stores::apply_admin(&namespace, "iloveyou1").await;
    namespace.apply_auth_service(json!({"bootstrapAdmin": {"secretRef": {"name": "admin"}}})).await;
    let api = namespace.api::<AuthService>();
    wait_for("the server's error in the condition", async || {
        let found = api.get(NAME).await.map_err(|e| e.to_string())?;
        let all = found.status.map(|status| status.conditions).unwrap_or_default();
        let ready = all.into_iter().find(|condition| condition.type_ == conditions::READY);
        let message = ready.map(|ready| ready.message).unwrap_or_default();
        assert!(!message.contains("iloveyou1"), "{message}");
        let found = message.contains("terminated with an error") && message.contains("most common passwords");
        if found { Ok(()) } else { Err(message) }
    })
    .await;
    let password = secret("admin");
    stores::apply_admin(&namespace, &password).await;
    namespace.wait_until_ready().await;
    client.wait_until_routed().await;
    client.log_in("root.admin", &password);
}

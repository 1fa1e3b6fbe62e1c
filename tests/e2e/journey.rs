//! The requests of an application, from a pod, to the name of the Service.

use latchkey_tests::app::path;
use latchkey_tests::logs::{leak, secret};
use serde_json::json;

use crate::client::{Client, Request, link};
use crate::namespace::{Namespace, is_ready};
use crate::{release, stores};

#[tokio::test]
async fn login_profile_refresh_recovery_reset_and_logout() {
    let namespace = Namespace::new("journey").await;
    let stores = stores::start(&namespace).await;
    let client = Client::start(&namespace).await;
    let ready = namespace.bring_up("external stores, 2 replicas", stores::spec(2)).await;
    client.wait_until_routed().await;
    assert_eq!(ready.status.and_then(|status| status.endpoint), Some(client.url("")));
    assert_eq!(namespace.server_pods().await.iter().filter(|pod| is_ready(pod)).count(), 2);
    let john = client.create_user(&stores.admin_password, "john");

    let session = client.log_in("John@Example.Test", &john.password);
    let me = client.me(&session.access).ok(200);
    let expected = json!({
        "id": john.id, "username": "john", "email": "john@example.test", "name": "John Doe",
        "is_superuser": false, "is_active": true,
    });
    assert_eq!(me, expected);
    let answer = client.refresh(&session);
    let refreshed = latchkey_tests::app::Session::from_answer(&answer);
    assert_ne!(refreshed.refresh, session.refresh);
    client.me(&refreshed.access).ok(200);

    client.ask_for_recovery(&john.email);
    let mail = client.mail_to(&john.email, 1).await;
    let link = link(&mail[0]);
    assert!(
        link.as_str().starts_with(&client.url("/reset-password?")),
        "the link is not below the issuer: {link}"
    );
    let page = client.send(&Request::get(link.as_str()));
    assert_eq!(page.status, 200, "the page of the link");
    let token = link.query_pairs().find(|(name, _)| name == "token").expect("a token in the link").1;
    let password = secret("new");
    let body = json!({"token": token, "new_password": password});
    client.send(&Request::post(client.url(path::RESET)).json(&body)).ok(200);

    client.me(&refreshed.access).problem(401);
    client.post_login("john", &john.password).problem(401);
    let session = client.log_in("john", &password);
    client.me(&session.access).ok(200);
    let logout = Request::post(client.url(path::LOGOUT)).bearer(&session.access);
    let answer = client.send(&logout.header(&format!("Cookie: refresh_token={}", session.refresh)));
    assert_eq!(answer.ok(200)["message"], "Logged out successfully.");
    client.me(&session.access).problem(401);
    client.refresh(&session).problem(401);

    for line in namespace.server_log().lines().chain(release::operator_log().lines()) {
        assert_eq!(leak(line), None, "the log contains a secret: {line}");
    }
}

//! A changed password of the SMTP server.

use latchkey_crds::conditions;
use latchkey_tests::logs::secret;

use crate::client::Client;
use crate::namespace::{Namespace, uids};
use crate::stores;

#[tokio::test]
async fn a_changed_smtp_password_reaches_the_pods_and_no_email_is_lost() {
    let namespace = Namespace::new("smtp-password").await;
    let stores = stores::start(&namespace).await;
    let client = Client::start(&namespace).await;
    namespace.bring_up("external stores", stores::spec(1)).await;
    client.wait_until_routed().await;
    let john = client.create_user(&stores.admin_password, "john");
    client.ask_for_recovery(&john.email);
    client.mail_to(&john.email, 1).await;

    let password = secret("new-smtp");
    namespace.remove_pod("mailpit").await;
    stores.run_mailpit(&namespace, &password).await;
    namespace.wait_for_pod("mailpit").await;
    // An e-mail that is requested while the servers have the wrong password arrives later.
    let jane = client.create_user(&stores.admin_password, "jane");
    client.ask_for_recovery(&jane.email);

    let old = uids(&namespace.server_pods().await);
    stores::apply_smtp_credentials(&namespace, &password).await;
    namespace.wait_for_server_pods(1, &old).await;
    assert_eq!(namespace.secret("auth-smtp", "password").await, password);
    client.mail_to(&jane.email, 1).await;
    client.ask_for_recovery(&john.email);
    client.mail_to(&john.email, 1).await;
    namespace.wait_until_ready().await;
    namespace.wait_for_condition(conditions::MAIL_READY, "True").await;
}

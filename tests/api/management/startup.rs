//! `/startup`: whether a signing key is loaded, and how far it is.

use latchkey_tests::app::App;
use latchkey_tests::key_set::{self, in_phase};
use latchkey_tests::wait;

#[tokio::test]
async fn a_replica_proves_that_it_has_loaded_a_key() {
    let [old, new] = ["ES256", "ES256"].map(key_set::generate);
    let app = App::setup().keys(vec![old.clone()]).start().await;
    let status = async |key: &serde_json::Value, phase: &str| {
        let path = format!("/startup?key={}&phase={phase}", key["kid"].as_str().unwrap());
        app.server().management(&path).await.status
    };
    assert_eq!(status(&old, "published").await, 200);
    assert_eq!(status(&old, "active").await, 200);
    assert_eq!(status(&old, "retiring").await, 503);
    assert_eq!(status(&new, "published").await, 503);
    assert_eq!(status(&old, "unknown").await, 400);
    assert_eq!(app.server().management("/startup").await.status, 400);

    app.keys.replace(&[old.clone(), in_phase(&new, "published")]);
    wait::until_equal("the new key to be loaded", 200, async || status(&new, "published").await).await;
    assert_eq!(status(&new, "active").await, 503);
    app.keys.replace(&[in_phase(&old, "retiring"), new.clone()]);
    wait::until_equal("the new key to sign", 200, async || status(&new, "active").await).await;
    assert_eq!(status(&old, "retiring").await, 200);
    assert_eq!(status(&new, "published").await, 200);
}

//! Which of two AuthClients has a client id that both ask for, and a place among the most that an AuthService can have. Both
//! reconciles decide by it: that of the AuthClient, and that of the AuthService, which writes the registry.

use latchkey_crds::AuthClient;
use latchkey_crds::conditions::ACCEPTED;

/// The lower one has it: the older AuthClient; of two that were created in the same second, the one that was accepted; then
/// the one with the lower uid. One whose time of creation cannot be read comes last.
pub(crate) fn seniority(client: &AuthClient) -> (bool, Option<i64>, bool, Option<&str>) {
    let created = client.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second());
    let conditions = client.status.iter().flat_map(|status| &status.conditions);
    let is_accepted = conditions.into_iter().any(|known| known.type_ == ACCEPTED && known.status == "True");
    (created.is_none(), created, !is_accepted, client.metadata.uid.as_deref())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn client(uid: &str, created: &Value, accepted: &str) -> AuthClient {
        let accepted = json!({
            "type": "Accepted", "status": accepted, "reason": "R", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        serde_json::from_value(json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthClient",
            "metadata": {"name": uid, "uid": uid, "creationTimestamp": created},
            "spec": {"authServiceRef": {"name": "auth"}}, "status": {"conditions": [accepted]},
        }))
        .unwrap()
    }

    #[test]
    fn the_older_the_accepted_and_the_first_comes_first() {
        let (early, late) = (json!("2026-01-01T00:00:00Z"), json!("2026-01-01T00:00:01Z"));
        let ordered = [
            client("9", &early, "True"),
            client("1", &early, "False"),
            client("2", &early, "False"),
            client("0", &late, "True"),
            client("0", &json!(null), "True"),
        ];
        for pair in ordered.windows(2) {
            assert!(seniority(&pair[0]) < seniority(&pair[1]), "{pair:?}");
        }
    }
}

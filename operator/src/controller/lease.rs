//! The Lease of the election. Only the required fields are parsed: an unreadable field of another writer, such as a
//! time beyond the range of the time library, must not prevent all replicas from leading.

use std::borrow::Cow;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube::core::ObjectMeta;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::cluster::lenient::metadata;

/// A Lease. Unknown fields remain when it is written.
#[derive(Debug, Clone, Serialize, Resource)]
#[resource(inherit = Lease)]
pub(crate) struct LeaseRecord {
    #[serde(rename = "apiVersion")]
    api_version: Cow<'static, str>,
    kind: Cow<'static, str>,
    metadata: ObjectMeta,
    spec: Map<String, Value>,
}

impl LeaseRecord {
    /// A Lease that does not exist yet.
    pub(crate) fn new(name: &str) -> Self {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        Self::build(metadata, Map::new())
    }

    fn build(metadata: ObjectMeta, spec: Map<String, Value>) -> Self {
        Self { api_version: Lease::api_version(&()), kind: Lease::kind(&()), metadata, spec }
    }

    /// Its holder; `None` or empty if there is none.
    pub(crate) fn holder(&self) -> Option<&str> {
        self.spec.get("holderIdentity")?.as_str()
    }

    /// The requested duration, in seconds; `None` if it is unset or not positive.
    pub(crate) fn duration(&self) -> Option<u64> {
        let seconds = i32::try_from(self.spec.get("leaseDurationSeconds")?.as_i64()?).ok()?;
        u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)
    }

    /// Sets the holder and the renew time; `taken` if another replica held it.
    pub(crate) fn sign(&mut self, holder: &str, seconds: i32, taken: bool) {
        let now = json!(MicroTime(Timestamp::now()));
        if taken {
            let transitions = self.spec.get("leaseTransitions").and_then(Value::as_i64);
            let transitions = transitions.and_then(|count| i32::try_from(count).ok());
            let transitions = transitions.map_or(0, |count| count.saturating_add(1));
            self.spec.insert("leaseTransitions".to_owned(), json!(transitions));
            self.spec.insert("acquireTime".to_owned(), now.clone());
        }
        self.spec.insert("holderIdentity".to_owned(), json!(holder));
        self.spec.insert("leaseDurationSeconds".to_owned(), json!(seconds));
        self.spec.insert("renewTime".to_owned(), now);
    }

    /// Releases it.
    pub(crate) fn release(&mut self) {
        self.spec.insert("holderIdentity".to_owned(), json!(""));
        self.spec.insert("leaseDurationSeconds".to_owned(), json!(1));
    }
}

impl<'de> Deserialize<'de> for LeaseRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            #[serde(default)]
            metadata: Value,
            #[serde(default)]
            spec: Value,
        }
        let Object { metadata: stored, spec } = Object::deserialize(deserializer)?;
        let spec = if let Value::Object(spec) = spec { spec } else { Map::new() };
        Ok(Self::build(metadata(stored), spec))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_with_times_that_cannot_be_read_can_still_be_taken() {
        let time = "9999-12-31T23:59:59.999999Z";
        let stored = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "latchkey-operator", "resourceVersion": "7", "managedFields": [{"time": time}]},
            "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": time, "acquireTime": time,
                     "leaseTransitions": 2, "later": {"field": true}},
        });
        assert!(serde_json::from_value::<Lease>(stored.clone()).is_err(), "the type of the API can read it");
        let mut lease: LeaseRecord = serde_json::from_value(stored).unwrap();
        assert_eq!((lease.holder(), lease.duration()), (Some("a"), Some(15)));
        lease.sign("b", 15, true);
        let written = serde_json::to_value(&lease).unwrap();
        assert_eq!(written["metadata"]["resourceVersion"], "7");
        assert_eq!(written["spec"]["leaseTransitions"], 3);
        assert_eq!(written["spec"]["holderIdentity"], "b");
        assert_eq!(written["spec"]["later"]["field"], true);
        let sound: Lease = serde_json::from_value(json!({"metadata": {}, "spec": {
            "renewTime": written["spec"]["renewTime"], "acquireTime": written["spec"]["acquireTime"]}}))
        .unwrap();
        assert!(sound.spec.is_some_and(|spec| spec.renew_time.is_some()));
    }
}

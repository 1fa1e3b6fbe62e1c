use kube::ResourceExt;
use kube::runtime::reflector;
use serde_json::json;

use super::*;
use crate::cluster::observed::Observed;

fn object(name: &str, version: &str, owner: &str, data: &str) -> DynamicObject {
    serde_json::from_value(json!({
        "metadata": {
            "namespace": "a", "name": name, "uid": name, "resourceVersion": version,
            "labels": {"app.kubernetes.io/instance": owner, "app.kubernetes.io/component": "server"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "AuthService", "name": owner, "uid": format!("uid-{owner}"), "controller": true}
            ],
        },
        "data": {"key": data},
    }))
    .unwrap()
}

fn observed(name: &str) -> Observed {
    serde_json::from_value(json!({"metadata": {"namespace": "a", "name": name}, "spec": {}})).unwrap()
}

fn auth_service(name: &str) -> Event<Observed> {
    Event::Apply(observed(name))
}

/// A store whose AuthServices `x` and `y` exist, and the writer of the AuthServices.
fn new(kind: Kind) -> (Writer, reflector::store::Writer<Observed>) {
    let (auth_services, mut observed) = reflector::store();
    observed.apply_watcher_event(&auth_service("x"));
    observed.apply_watcher_event(&auth_service("y"));
    let owners = Owners::new(auth_services, |_, name| {
        vec![format!("{name}-one"), format!("{name}-two"), format!("{name}-three")]
    });
    (Writer::new(kind, owners), observed)
}

fn names(changes: &[Change]) -> Vec<String> {
    let mut names: Vec<_> = changes.iter().filter_map(|change| change.object.uid()).collect();
    names.sort();
    names
}

fn listed(writer: &mut Writer, objects: &[DynamicObject]) -> Vec<Change> {
    assert!(writer.process(Event::Init).is_empty());
    for object in objects {
        assert!(writer.process(Event::InitApply(AnyObject(object.clone()))).is_empty());
    }
    writer.process(Event::InitDone)
}

#[test]
fn an_object_is_found_by_name_and_by_auth_service() {
    for kind in [Kind::Job, Kind::Pod] {
        let (mut writer, _auth_services) = new(kind);
        let store = writer.store();
        let whole = object("x-one", "1", "x", "1");
        assert!(listed(&mut writer, &[whole.clone(), object("x-two", "2", "y", "1")]).is_empty());
        assert_eq!(store.get("a", "x-one").unwrap().object(), whole);
        assert!(store.get("b", "x-one").is_none());
        assert_eq!((store.group("a", "x").len(), store.group("b", "x").len()), (1, 0), "{kind}");
        // An object whose AuthService changes leaves its group.
        writer.process(Event::Apply(AnyObject(object("x-one", "3", "y", "1"))));
        assert!(store.group("a", "x").is_empty());
        assert_eq!(store.group("a", "y").len(), 2);
    }
}

#[test]
fn an_object_without_auth_service_is_read_when_the_auth_service_is_created() {
    for kind in [Kind::Secret, Kind::Pod] {
        let (mut writer, mut auth_services) = new(kind);
        let store = writer.store();
        let early = object("z-one", "1", "z", "1");
        listed(&mut writer, &[early.clone(), object("w-one", "2", "w", "1")]);
        let late = object("z-two", "3", "z", "1");
        assert!(writer.process(Event::Apply(AnyObject(late.clone()))).is_empty());
        assert!(store.get("a", "z-one").is_none() && store.get("a", "z-two").is_none());
        auth_services.apply_watcher_event(&auth_service("z"));
        // A change that is observed before the read is newer.
        let changed = object("z-two", "4", "z", "2");
        assert_eq!(names(&writer.process(Event::Apply(AnyObject(changed)))), ["z-two"]);
        let groups = store.unstored("a", "z");
        assert_eq!(groups, [if kind == Kind::Pod { "z" } else { "z-one" }], "{kind}");
        let read = [early, late].map(|object| (object.name_any(), CachedObject::new(kind, object)));
        store.insert_read("a", &groups[0], read.into());
        assert_eq!(store.get("a", "z-one").unwrap().version(), Some("1"));
        assert_eq!(store.get("a", "z-two").unwrap().version(), Some("4"));
        assert!(store.unstored("a", "z").is_empty());
        // An AuthService that is deleted and created again.
        auth_services.apply_watcher_event(&Event::Delete(observed("z")));
        store.release("a", "z");
        assert!(store.get("a", "z-one").is_none() && store.group("a", "z").is_empty());
        assert_eq!(store.unstored("a", "z").len(), if kind == Kind::Pod { 1 } else { 2 });
        // One that was deleted meanwhile is not read.
        writer.process(Event::Delete(AnyObject(object("z-one", "5", "z", "1"))));
        writer.process(Event::Delete(AnyObject(object("z-two", "6", "z", "1"))));
        assert!(store.unstored("a", "z").is_empty());
    }
}

#[test]
fn an_object_that_leaves_its_auth_service_is_a_change() {
    let (mut writer, _auth_services) = new(Kind::Job);
    listed(&mut writer, &[object("x-one", "1", "x", "1")]);
    let mut orphan = object("x-one", "2", "x", "1");
    orphan.metadata.owner_references = None;
    assert_eq!(names(&writer.process(Event::Apply(AnyObject(orphan)))), ["x-one"]);
    assert!(writer.store().get("a", "x-one").is_none());
}

#[test]
fn only_what_differs_is_a_change() {
    let (mut writer, _auth_services) = new(Kind::ConfigMap);
    listed(&mut writer, &[object("x-one", "1", "x", "1"), object("x-two", "2", "x", "1")]);
    assert!(writer.process(Event::Apply(AnyObject(object("x-one", "3", "x", "1")))).is_empty());
    assert_eq!(writer.store().get("a", "x-one").unwrap().version(), Some("3"));
    assert_eq!(names(&writer.process(Event::Apply(AnyObject(object("x-one", "4", "x", "2"))))), ["x-one"]);
    // A new list reports what changed, appeared and disappeared in between.
    let changes = listed(&mut writer, &[object("x-one", "5", "x", "3"), object("x-three", "6", "x", "1")]);
    assert_eq!(names(&changes), ["x-one", "x-three", "x-two"]);
    let again = listed(&mut writer, &[object("x-one", "5", "x", "3"), object("x-three", "6", "x", "1")]);
    assert!(again.is_empty());
    assert_eq!(names(&writer.process(Event::Delete(AnyObject(object("x-one", "7", "x", "3"))))), ["x-one"]);
    assert!(writer.store().get("a", "x-one").is_none());
}

#[test]
fn an_ignored_status_is_no_change() {
    let (mut writer, _auth_services) = new(Kind::PodDisruptionBudget);
    let with = |version: &str, healthy: i32| {
        let mut budget = object("x-one", version, "x", "1");
        budget.data["status"] = json!({"currentHealthy": healthy});
        budget
    };
    listed(&mut writer, &[with("1", 0)]);
    assert!(writer.process(Event::Apply(AnyObject(with("2", 1)))).is_empty());
}

#[test]
fn the_load_that_an_autoscaler_sees_is_no_change_and_its_conditions_are() {
    let (mut writer, _auth_services) = new(Kind::HorizontalPodAutoscaler);
    let with = |version: &str, load: i32, active: &str| {
        let mut autoscaler = object("x-one", version, "x", "1");
        autoscaler.data["status"] = json!({
            "currentMetrics": [{"resource": {"current": {"averageUtilization": load}}}],
            "desiredReplicas": load,
            "conditions": [{"type": "ScalingActive", "status": active}],
        });
        autoscaler
    };
    listed(&mut writer, &[with("1", 1, "True")]);
    assert!(writer.process(Event::Apply(AnyObject(with("2", 2, "True")))).is_empty());
    assert_eq!(names(&writer.process(Event::Apply(AnyObject(with("3", 2, "False"))))), ["x-one"]);
}

//! Faults of the operator's process, of its permissions and of the whole API server.

use std::cell::RefCell;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use latchkey_tests::control_plane::apply;
use latchkey_tests::operator::Operator;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::checker::{Rule, Violation};
use crate::fault::Fault;
use crate::proxy::Write;
use crate::scenario::{NAME, Scenario, wait_for};
use crate::world::Place;

/// How long the clock of an operator is wrong.
const WRONG_FOR: Duration = Duration::from_secs(4);

/// How long the n-th write may take to come.
const HELD_WITHIN: Duration = Duration::from_secs(20);

/// Does what the scenario asks for while this fault occurs. Returns further operators, which run on.
pub async fn act(
    place: &Place<'_>,
    scenario: Scenario,
    fault: &Fault,
    operator: &RefCell<Option<Operator>>,
) -> Option<Operator> {
    match *fault {
        Fault::Away { lasts } => {
            place.proxy.arm(fault.clone());
            scenario.act(place).await;
            tokio::time::sleep(lasts).await;
            place.proxy.lift();
        }
        Fault::Suspended { lasts } => {
            with(operator, Operator::pause);
            scenario.act(place).await;
            tokio::time::sleep(lasts).await;
            with(operator, Operator::resume);
            place.proxy.shared.strike();
        }
        Fault::Restarted { after } => {
            scenario.act(place).await;
            tokio::time::sleep(after).await;
            let stopped = operator.take();
            if let Some(mut stopped) = stopped {
                stopped.terminate();
            }
            operator.replace(Some(place.start_operator(&[])));
            place.proxy.shared.strike();
        }
        Fault::TwoOperators => {
            let mut second = place.start_operator(&[]);
            second.wait_until_ready().await;
            scenario.act(place).await;
            place.proxy.shared.strike();
            return Some(second);
        }
        Fault::LostLease => lose_lease(place, scenario, operator).await,
        Fault::ClockJump { offset } => {
            scenario.act(place).await;
            if let Some(mut old) = operator.take() {
                old.kill();
            }
            let mut wrong = place.start_operator_at(Some(offset), &[]);
            tokio::time::sleep(WRONG_FOR).await;
            wrong.kill();
            operator.replace(Some(place.start_operator(&[])));
            place.proxy.shared.strike();
        }
        Fault::Quota { of, lasts } => {
            let quotas: Api<ResourceQuota> = Api::namespaced(place.world.client.clone(), &place.name);
            let hard = json!({ format!("count/{of}"): "0" });
            let metadata = json!({"name": "none", "namespace": place.name});
            let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard}});
            apply(&place.world.client, &quota).await;
            // No controller computes it here.
            let status = Patch::Merge(json!({"status": {"hard": hard, "used": hard}}));
            quotas
                .patch_status("none", &PatchParams::default(), &status)
                .await
                .expect("the status is written");
            scenario.act(place).await;
            tokio::time::sleep(lasts).await;
            quotas.delete("none", &DeleteParams::default()).await.expect("the quota is deleted");
            place.proxy.shared.strike();
        }
        Fault::Refused { resource, lasts } => {
            refuse(place, resource).await;
            scenario.act(place).await;
            tokio::time::sleep(lasts).await;
            let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(place.world.client.clone());
            bindings.delete(&place.name, &DeleteParams::default()).await.expect("the binding is deleted");
            place.proxy.shared.strike();
        }
        _ => unreachable!("{fault:?} is not special"),
    }
    None
}

/// Deletes the AuthService while the operator waits for a response, and requires that it creates nothing afterwards.
pub async fn delete_meanwhile(place: &Place<'_>, fault: &Fault) -> Vec<Violation> {
    place.proxy.arm(fault.clone());
    Scenario::Create.act(place).await;
    let held = async { place.proxy.crashes.lock().await.recv().await };
    if tokio::time::timeout(HELD_WITHIN, held).await.is_err() {
        // There are fewer writes.
        return Vec::new();
    }
    let deleted = place.api("AuthService").delete(NAME, &DeleteParams::background()).await;
    deleted.expect("the AuthService is deleted");
    wait_for(&place.history, "the deletion", |history| history.object("AuthService", NAME).is_none()).await;
    // The operator receives the event on another connection.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = place.proxy.writes().len();
    place.proxy.lift();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let owned = |write: &&Write| write.call.resource != "events" && write.code < 300;
    let writes = place.proxy.writes();
    let more: Vec<String> = writes[before..].iter().filter(owned).map(Write::describe).collect();
    let found = (!more.is_empty()).then(|| Violation::new(Rule::AfterDeletion, more.join(", ")));
    found.into_iter().collect()
}

fn with(operator: &RefCell<Option<Operator>>, action: impl Fn(&Operator)) {
    if let Some(operator) = operator.borrow().as_ref() {
        action(operator);
    }
}

/// The holder of the lease is suspended with its watches and its memory, and continues when another operator leads.
async fn lose_lease(place: &Place<'_>, scenario: Scenario, operator: &RefCell<Option<Operator>>) {
    if let Some(mut old) = operator.take() {
        old.terminate();
    }
    permit_leases(place).await;
    let mut first = place.start_electing("operator-0");
    first.wait_until_ready().await;
    wait_until_leading(&first).await;
    let mut second = place.start_electing("operator-1");
    second.wait_until_ready().await;
    scenario.act(place).await;
    first.pause();
    wait_until_leading(&second).await;
    first.resume();
    first.wait_until_ended();
    operator.replace(Some(second));
    place.proxy.shared.strike();
}

async fn wait_until_leading(operator: &Operator) {
    wait::until_within(Duration::from_mins(1), Duration::from_millis(100), "leadership", async || {
        let leads = operator.metric("latchkey_operator_leader", &[]).await;
        wait::check(leads > 0.5, leads)
    })
    .await;
}

/// Every plan has its own lease.
async fn permit_leases(place: &Place<'_>) {
    let metadata = json!({"name": "leases", "namespace": place.name});
    let rules = json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]}]);
    let api_version = "rbac.authorization.k8s.io/v1";
    let role = json!({"apiVersion": api_version, "kind": "Role", "metadata": metadata, "rules": rules});
    let user = &place.installation.user;
    let binding = json!({
        "apiVersion": api_version, "kind": "RoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "leases"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    for object in [role, binding] {
        apply(&place.world.client, &object).await;
    }
}

/// Refuses the operator's writes of a resource in the namespace, and waits until the API server does so.
async fn refuse(place: &Place<'_>, resource: &str) {
    let api_version = "admissionregistration.k8s.io/v1";
    let rules: Value = json!([{
        "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": [resource, "endpoints"],
    }]);
    // The plan itself writes Secrets; it recognises by the endpoints that the policy is in force.
    let user = &place.installation.user;
    let allowed =
        format!("request.resource.resource != \"endpoints\" && request.userInfo.username != \"{user}\"");
    let policy = json!({
        "apiVersion": api_version, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": place.name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": rules},
            "validations": [{"expression": allowed, "message": "not today"}],
        },
    });
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": place.name}});
    let binding = json!({
        "apiVersion": api_version, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": place.name},
        "spec": {
            "policyName": place.name, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": selector},
        },
    });
    for object in [policy, binding] {
        apply(&place.world.client, &object).await;
    }
    let probe = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "probe"}});
    let endpoints: Api<k8s_openapi::api::core::v1::Endpoints> =
        Api::namespaced(place.world.client.clone(), &place.name);
    wait::until("the policy to be in force", async || {
        let parameters = PatchParams::apply("tests").force().dry_run();
        let tried = endpoints.patch("probe", &parameters, &Patch::Apply(&probe)).await;
        wait::check(tried.is_err(), "it is accepted")
    })
    .await;
}

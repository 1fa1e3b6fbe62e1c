//! `helm uninstall`. It removes the release that all other tests use, so it waits for running tests.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::DeleteParams;
use kube::{Api, Client};
use latchkey_tests::cluster::Cluster;
use latchkey_tests::process::run_ok;

use crate::objects::{self, Objects};
use crate::release::{self, State};
use crate::waiting::wait_for;

const CRDS: [&str; 2] = ["authclients.latchkey.dev", "authservices.latchkey.dev"];

#[tokio::test]
async fn an_uninstallation_leaves_only_the_definitions() {
    let mut release = release::hold_alone().await;
    let State::Installed(before) = std::mem::replace(&mut *release, State::Absent) else {
        unreachable!("a held release is installed")
    };
    let client = Cluster::shared().client().await;
    delete_namespaces_of_ended_tests();
    release::uninstall();
    let kept = CRDS.map(|name| format!("/CustomResourceDefinition/{name}")).into();
    wait_for_what_is_left(&client, &before, &kept).await;

    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for name in CRDS {
        crds.delete(name, &DeleteParams::default()).await.expect("the definition is deleted");
    }
    wait_for_what_is_left(&client, &before, &Objects::new()).await;
}

/// The namespaces of ended tests are being deleted, and those of failed ones are still there. Only the operator removes the
/// finalizer of an AuthClient.
fn delete_namespaces_of_ended_tests() {
    let mut kubectl = Cluster::shared().kubectl();
    let not_of_the_operator = format!("--field-selector=metadata.name!={}", release::SYSTEM);
    let of_tests = ["-l", release::LABEL, &not_of_the_operator];
    run_ok(kubectl.args(["delete", "namespace"]).args(of_tests).arg("--timeout=120s"));
}

async fn wait_for_what_is_left(client: &Client, before: &Objects, expected: &Objects) {
    wait_for(&format!("only {expected:?} to remain"), async || {
        let left = &objects::all(client).await - before;
        if left == *expected { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

//! `helm uninstall`. It removes the release that all other tests use, so it waits for running tests.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::DeleteParams;
use kube::{Api, Client};
use latchkey_tests::cluster::Cluster;

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
    release::uninstall();
    let kept = CRDS.map(|name| format!("/CustomResourceDefinition/{name}")).into();
    wait_for_what_is_left(&client, &before, &kept).await;

    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for name in CRDS {
        crds.delete(name, &DeleteParams::default()).await.expect("the definition is deleted");
    }
    wait_for_what_is_left(&client, &before, &Objects::new()).await;
}

async fn wait_for_what_is_left(client: &Client, before: &Objects, expected: &Objects) {
    wait_for(&format!("only {expected:?} to remain"), async || {
        let left = &objects::all(client).await - before;
        if left == *expected { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

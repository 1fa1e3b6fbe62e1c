//! The programs of the control plane and their files.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{CONTROLLER_MANAGER_USER, TEST_USER};
use crate::process::{OnParentDeath, Process, free_port, run_ok};
use crate::programs;

/// The AuthenticationConfiguration of the API server, if there is one.
pub(super) const AUTHENTICATION_FILE: &str = "authentication.yaml";

pub(super) fn write_api_server_files(folder: &Path, token: &str) {
    let tokens = format!(
        "{token},{TEST_USER},1,\"system:masters\"\n\
         {CONTROLLER_MANAGER_USER}-{token},{CONTROLLER_MANAGER_USER},2,\"system:masters\"\n"
    );
    fs::write(folder.join("tokens.csv"), tokens).expect("tokens.csv is written");
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            // The operator's reads of Secrets and ConfigMaps; a list with its response, which shows whether it
            // contains data.
            {
                "level": "RequestResponse",
                "verbs": ["list"],
                "userGroups": ["system:serviceaccounts"],
                "resources": [{"group": "", "resources": ["secrets"]}],
            },
            {
                "level": "Metadata",
                "verbs": ["get", "watch"],
                "userGroups": ["system:serviceaccounts"],
                "resources": [{"group": "", "resources": ["secrets", "configmaps"]}],
            },
            {"level": "None", "verbs": ["get", "list", "watch"]},
            {"level": "Metadata"},
        ],
    });
    fs::write(folder.join("audit-policy.yaml"), policy.to_string()).expect("the audit policy is written");
    let (private, public) = (folder.join("service-accounts.pem"), folder.join("service-accounts.pub"));
    let curve = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"];
    run_ok(Command::new("openssl").args(curve).arg(&private));
    run_ok(Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&private).arg("-out").arg(&public));
}

pub(super) fn start_etcd(folder: &Path, port: u16) -> Process {
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{}", free_port());
    let mut command = Command::new(programs::test_bed("etcd"));
    command
        .arg(format!("--data-dir={}", folder.join("etcd").display()))
        .arg(format!("--listen-client-urls={client}"))
        .arg(format!("--advertise-client-urls={client}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=default={peer}"))
        // The data need not survive a power failure.
        .args(["--unsafe-no-fsync", "--log-level=error"]);
    Process::start(&command, OnParentDeath::Kill)
}

pub(super) fn start_api_server(folder: &Path, port: u16, etcd_port: u16) -> Process {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut command = Command::new(programs::control_plane("kube-apiserver"));
    command
        .args([
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
        ])
        .arg(format!("--secure-port={port}"))
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd_port}"))
        .arg(format!("--cert-dir={}", file("certificates")))
        .arg(format!("--token-auth-file={}", file("tokens.csv")))
        .arg("--authorization-mode=RBAC")
        .arg("--service-cluster-ip-range=10.96.0.0/16")
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(format!("--service-account-signing-key-file={}", file("service-accounts.pem")))
        .arg(format!("--service-account-key-file={}", file("service-accounts.pub")))
        .arg(format!("--audit-policy-file={}", file("audit-policy.yaml")))
        .arg(format!("--audit-log-path={}", file("audit.log")))
        // As in a cluster that only permits owner references to objects that the client may delete.
        .arg("--enable-admission-plugins=OwnerReferencesPermissionEnforcement");
    if folder.join(AUTHENTICATION_FILE).exists() {
        command.arg(format!("--authentication-config={}", file(AUTHENTICATION_FILE)));
    }
    Process::start(&command, OnParentDeath::Kill)
}

//! The settings of workload identity: how the server reaches the API server of Kubernetes.

use std::path::PathBuf;

use url::Url;

use crate::given::{Given, Parsed};
use crate::variables as v;

/// The address of the API server in every cluster.
const DEFAULT_API_URL: &str = "https://kubernetes.default.svc";
/// Where the kubelet mounts the certificate authority and the token of the pod's service account.
const DEFAULT_CA_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
const DEFAULT_TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How the server asks the API server about tokens of service accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadIdentity {
    /// The https URL of the API server, without a path.
    pub api_url: Url,
    /// A PEM file with the certificate authorities of the API server.
    pub ca_file: PathBuf,
    /// The token with which the server authenticates there.
    pub token_file: PathBuf,
}

impl Default for WorkloadIdentity {
    /// For a pod to which the kubelet gives a token.
    fn default() -> Self {
        Self {
            // A constant that is a URL.
            api_url: Url::parse(DEFAULT_API_URL).unwrap_or_else(|_| unreachable!()),
            ca_file: DEFAULT_CA_FILE.into(),
            token_file: DEFAULT_TOKEN_FILE.into(),
        }
    }
}

impl Given<'_> {
    pub(crate) fn workload_identity(&self) -> Parsed<Option<WorkloadIdentity>> {
        let default = WorkloadIdentity::default();
        let enabled = self.flag_or(v::WORKLOAD_IDENTITY_ENABLED, false);
        let api_url = self.kubernetes_url();
        let ca_file = self.path(v::KUBERNETES_CA_FILE);
        let token_file = self.path(v::KUBERNETES_TOKEN_FILE);
        let found = WorkloadIdentity {
            api_url: api_url?.unwrap_or(default.api_url),
            ca_file: ca_file?.unwrap_or(default.ca_file),
            token_file: token_file?.unwrap_or(default.token_file),
        };
        Ok(enabled?.then_some(found))
    }

    fn kubernetes_url(&self) -> Parsed<Option<Url>> {
        let name = v::KUBERNETES_API_URL;
        let Some(url) = self.url(name)? else { return Ok(None) };
        if url.scheme() != "https" || url.path() != "/" {
            return Err(self.invalid(name, "it must be an https URL without a path"));
        }
        Ok(Some(url))
    }
}

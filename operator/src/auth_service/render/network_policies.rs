//! The NetworkPolicies: one for each kind of pod, which denies all traffic that it does not list.
//!
//! PostgreSQL, Redis, the SMTP server and the collector are given by host name, which a NetworkPolicy cannot match.
//! Egress is therefore allowed by port, and by network if the spec lists networks.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use latchkey_crds::auth_service::Peer;

use super::metadata::metadata;
use super::rendered::{Action, RenderError};
use super::schema::Schema;
use crate::auth_service::dereference::ExternalState;
use crate::auth_service::validate::{Server, Validated};
use crate::cluster::kinds::Kind;
use crate::names::{Component, HTTP_PORT, MANAGEMENT_PORT};

const DNS: i32 = 53;
const POSTGRES: i32 = 5432;
const REDIS: i32 = 6379;
const API_SERVER: [i32; 2] = [443, 6443];

/// The policy of an embedded store is deleted with the store. Running servers keep their policy until pods that may
/// need another one replace them.
pub(super) fn build(
    service: &Validated,
    external_state: &ExternalState,
    schema: &Schema,
) -> Result<[Action; 4], RenderError> {
    let name = |component| name(service, component);
    let gone = |component| Action::delete(Kind::NetworkPolicy, name(component));
    let kept = |component| Action::keep(Kind::NetworkPolicy, name(component));
    if !service.spec.network_policy.enabled {
        return Ok([Component::Server, Component::Migration, Component::Postgres, Component::Redis].map(gone));
    }
    let moved = *schema == Schema::Migrated;
    let store = |there: bool, component, port, clients: &[Component]| {
        if there {
            applied(service, component, vec![from_own(service, clients, port)], Vec::new())
        } else if moved {
            Ok(gone(component))
        } else {
            Ok(kept(component))
        }
    };
    let clients = [Component::Server, Component::Migration];
    Ok([
        match &service.server {
            Ok(server) if moved => applied(
                service,
                Component::Server,
                callers(service, external_state),
                destinations(service, server),
            )?,
            _ => kept(Component::Server),
        },
        match &service.server {
            Ok(server) => {
                let to = [vec![dns()], to_database(service, server)].concat();
                applied(service, Component::Migration, Vec::new(), to)?
            }
            Err(_) => kept(Component::Migration),
        },
        store(service.postgres.is_some(), Component::Postgres, POSTGRES, &clients)?,
        store(service.redis.is_some(), Component::Redis, REDIS, &[Component::Server])?,
    ])
}

fn name(service: &Validated, component: Component) -> String {
    match component {
        Component::Server => service.names.base().to_owned(),
        Component::Migration => service.names.migrations(),
        Component::Postgres => service.names.postgres(),
        Component::Redis => service.names.redis(),
    }
}

/// Both policy types are listed, so that traffic without a rule is denied in both directions.
fn applied(
    service: &Validated,
    component: Component,
    ingress: Vec<NetworkPolicyIngressRule>,
    mut egress: Vec<NetworkPolicyEgressRule>,
) -> Result<Action, RenderError> {
    egress.extend(service.spec.network_policy.extra_egress.iter().cloned());
    let policy = NetworkPolicy {
        metadata: metadata(service, name(service, component), component),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(labels(service.names.selector(component))),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: (!ingress.is_empty()).then_some(ingress),
            egress: (!egress.is_empty()).then_some(egress),
        }),
    };
    Action::apply(service, Kind::NetworkPolicy, &policy)
}

fn callers(service: &Validated, external_state: &ExternalState) -> Vec<NetworkPolicyIngressRule> {
    let spec = &service.spec.network_policy;
    let http = || port(HTTP_PORT, "TCP");
    let management = || port(i32::from(MANAGEMENT_PORT), "TCP");
    let api = if spec.allow_from.is_empty() {
        // Pods without a namespace selector are those of the policy's own namespace.
        vec![NetworkPolicyPeer {
            pod_selector: Some(LabelSelector::default()),
            ..NetworkPolicyPeer::default()
        }]
    } else {
        spec.allow_from.iter().map(peer).collect()
    };
    let rule = |from, ports| NetworkPolicyIngressRule { from: Some(from), ports: Some(ports) };
    let mut rules =
        vec![rule(api, vec![http()]), rule(vec![operator(external_state)], vec![http(), management()])];
    if !spec.allow_metrics_from.is_empty() {
        rules.push(rule(spec.allow_metrics_from.iter().map(peer).collect(), vec![management()]));
    }
    rules.extend(spec.extra_ingress.iter().cloned());
    rules
}

/// The operator queries the status of each server.
fn operator(external_state: &ExternalState) -> NetworkPolicyPeer {
    let namespace = ("kubernetes.io/metadata.name".to_owned(), external_state.operator_namespace.clone());
    let component = ("app.kubernetes.io/component".to_owned(), "operator".to_owned());
    NetworkPolicyPeer {
        namespace_selector: Some(labels([namespace].into())),
        pod_selector: Some(labels([component].into())),
        ip_block: None,
    }
}

fn destinations(service: &Validated, server: &Server) -> Vec<NetworkPolicyEgressRule> {
    let mut rules = [vec![dns()], to_database(service, server)].concat();
    if service.redis.is_some() {
        rules.push(to_own(service, Component::Redis, REDIS));
    } else {
        rules.extend(server.ports.redis.iter().map(|port| to_outside(service, *port)));
    }
    let others = [server.ports.smtp, server.ports.traces];
    rules.extend(others.into_iter().flatten().map(|port| to_outside(service, port)));
    if service.spec.workload_identity.enabled {
        rules.push(to_api_server());
    }
    rules
}

/// To any destination: no label selects the API server, and its address is not known. Network plugins compare its own port or
/// that of its Service.
fn to_api_server() -> NetworkPolicyEgressRule {
    let ports = API_SERVER.map(|number| port(number, "TCP"));
    NetworkPolicyEgressRule { to: None, ports: Some(ports.to_vec()) }
}

fn to_database(service: &Validated, server: &Server) -> Vec<NetworkPolicyEgressRule> {
    if service.postgres.is_some() {
        vec![to_own(service, Component::Postgres, POSTGRES)]
    } else {
        server.ports.database.iter().map(|port| to_outside(service, *port)).collect()
    }
}

fn to_own(service: &Validated, component: Component, number: i32) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(vec![own(service, component)]),
        ports: Some(vec![port(number, "TCP")]),
    }
}

fn to_outside(service: &Validated, number: u16) -> NetworkPolicyEgressRule {
    let networks = &service.spec.network_policy.egress_networks;
    let blocks = networks.iter().map(|cidr| NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.clone(), except: None }),
        ..NetworkPolicyPeer::default()
    });
    NetworkPolicyEgressRule {
        to: (!networks.is_empty()).then(|| blocks.collect()),
        ports: Some(vec![port(i32::from(number), "TCP")]),
    }
}

/// To any destination: the addresses of the cluster's DNS are not known, and on some clusters it runs on the node.
fn dns() -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule { to: None, ports: Some(vec![port(DNS, "UDP"), port(DNS, "TCP")]) }
}

fn from_own(service: &Validated, components: &[Component], number: i32) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from: Some(components.iter().map(|component| own(service, *component)).collect()),
        ports: Some(vec![port(number, "TCP")]),
    }
}

fn own(service: &Validated, component: Component) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(labels(service.names.selector(component))),
        ..NetworkPolicyPeer::default()
    }
}

fn peer(peer: &Peer) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(peer.namespace_selector.clone()),
        pod_selector: peer.pod_selector.clone(),
        ip_block: None,
    }
}

fn labels(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

fn port(number: i32, protocol: &str) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number)),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    }
}

//! The plans: what happens in each, chosen by a seed.

use std::fmt;
use std::time::Duration;

use latchkey_tests::control_plane::Part;

use crate::drift::{OBJECTS, OF_CLIENTS, deeds};
use crate::fault::{Calls, Failure, Fault, View};
use crate::random::Random;
use crate::scenario::Scenario;

/// One plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub number: usize,
    pub family: Family,
    pub scenario: Scenario,
    pub fault: Fault,
}

/// The kinds of plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    Crash,
    Error,
    View,
    Drift,
    Walk,
    Special,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?}", self.family, self.scenario, self.fault)
    }
}

/// The resources that the operator watches, and whose watches matter.
pub const WATCHED: [&str; 13] = [
    "authclients",
    "authservices",
    "configmaps",
    "deployments",
    "jobs",
    "networkpolicies",
    "persistentvolumeclaims",
    "poddisruptionbudgets",
    "pods",
    "secrets",
    "serviceaccounts",
    "services",
    "statefulsets",
];

/// Those that change in every scenario.
const BUSY: [&str; 6] = ["authservices", "configmaps", "deployments", "jobs", "pods", "secrets"];

/// Every plan of a family, in the order of this seed.
fn of_family(family: Family, random: &mut Random) -> Vec<(Scenario, Fault)> {
    let mut plans = Vec::new();
    if family == Family::Walk {
        plans.extend(
            (0..WALKS).map(|_| (Scenario::Scale, Fault::Walk { seed: random.below(1 << 30) as u64 })),
        );
    }
    if family == Family::Drift {
        let of_service = OBJECTS.map(|object| (Scenario::Still, object));
        let of_clients = OF_CLIENTS.map(|object| (Scenario::StillWithClient, object));
        for (scenario, (kind, name)) in of_service.into_iter().chain(of_clients) {
            let fields: Vec<usize> = (0..FIELDS).map(|_| random.below(1000)).collect();
            let deeds = deeds(kind, &fields).into_iter();
            plans.extend(deeds.map(|deed| (scenario, Fault::Drift { kind, name, deed })));
        }
    }
    for scenario in Scenario::ALL {
        match family {
            Family::Crash => {
                for nth in 1..=scenario.writes() {
                    plans.extend([false, true].map(|after| (scenario, Fault::Crash { nth, after })));
                }
            }
            Family::Error => {
                for error in Failure::ALL {
                    for of in [Calls::Writes, Calls::Reads, Calls::Watches] {
                        // A watch without a response is a frozen one; an attempt at it takes two minutes.
                        let is_silent = matches!(error, Failure::SilentBefore | Failure::SilentAfter);
                        if of == Calls::Watches && (is_silent || scenario != Scenario::Create) {
                            continue;
                        }
                        // The operator reads from its caches, except in some repairs.
                        let calls = if of == Calls::Reads { 1 } else { scenario.writes().max(1) };
                        // Some errors last for several attempts.
                        let nth = 1 + random.below(calls);
                        let times = if random.happens(30) && !is_silent { 1 + random.below(4) } else { 1 };
                        plans.push((scenario, Fault::Error { of, nth, times, error }));
                        if of == Calls::Writes && !is_silent {
                            for nth in 1..=scenario.writes() {
                                plans.push((scenario, Fault::Error { of, nth, times: 1, error }));
                            }
                        }
                    }
                }
            }
            Family::Drift | Family::Walk => {}
            Family::Special if scenario.is_still() => {}
            Family::Special => {
                let mut lasts = || random.between(Duration::from_millis(500), Duration::from_secs(4));
                let mut own = vec![
                    Fault::Away { lasts: lasts() },
                    Fault::Suspended { lasts: lasts() },
                    Fault::Restarted { after: lasts() / 4 },
                    Fault::Outage { part: Part::ApiServer },
                    Fault::Outage { part: Part::Etcd },
                ];
                // Each of two operators would prepare a secret of its own, which the leader election prevents.
                if scenario != Scenario::RotateClient {
                    own.push(Fault::TwoOperators);
                }
                // A NetworkPolicy names the namespace of the operator, which is another one in this plan.
                if !matches!(scenario, Scenario::Expose | Scenario::Conceal) {
                    own.push(Fault::LostLease);
                }
                own.extend(["-2h", "+1h", "+300d"].map(|offset| Fault::ClockJump { offset }));
                for of in ["deployments.apps", "jobs.batch", "secrets", "services", "configmaps"] {
                    own.push(Fault::Quota { of, lasts: lasts() });
                }
                for resource in
                    ["deployments", "jobs", "secrets", "services", "configmaps", "authservices/status"]
                {
                    own.push(Fault::Refused { resource, lasts: lasts() });
                }
                if scenario.has_clients() {
                    own.push(Fault::Refused { resource: "authclients", lasts: lasts() });
                    own.push(Fault::Refused { resource: "authclients/status", lasts: lasts() });
                }
                if scenario == Scenario::Create {
                    own.extend((1..=24).map(|nth| Fault::DeletedMeanwhile { nth }));
                }
                plans.extend(own.into_iter().map(|fault| (scenario, fault)));
            }
            Family::View => {
                // In the other scenarios, hardly anything happens to the other kinds.
                let all = matches!(scenario, Scenario::Create | Scenario::Recreate | Scenario::ToExternal);
                for resource in WATCHED {
                    let is_busy = match resource {
                        "authclients" => scenario.has_clients(),
                        _ => all || BUSY.contains(&resource),
                    };
                    if !is_busy {
                        continue;
                    }
                    for view in View::ALL {
                        let lasts = random.between(Duration::from_millis(500), Duration::from_secs(3));
                        plans.push((scenario, Fault::Watch { resource, view, lasts }));
                    }
                    let lasts = random.between(Duration::from_millis(500), Duration::from_secs(3));
                    plans.push((scenario, Fault::OlderList { resource, lasts }));
                }
            }
        }
    }
    random.shuffle(&mut plans);
    plans
}

/// How many plans of each family are in a hundred.
const SHARES: [(Family, usize); 6] = [
    (Family::Crash, 26),
    (Family::Error, 22),
    (Family::View, 22),
    (Family::Drift, 13),
    (Family::Walk, 7),
    (Family::Special, 10),
];

/// The number of walks at most.
const WALKS: usize = 10_000;
/// How many fields of each object are edited.
const FIELDS: usize = 12;

/// The plans of a family that were not chosen yet.
type Left = std::vec::IntoIter<(Scenario, Fault)>;

/// This number of plans, as the seed decides. A family without further plans gives its turn to the others.
pub fn choose(seed: u64, count: usize) -> Vec<Plan> {
    let mut random = Random::new(seed);
    let mut families: Vec<(Family, usize, Left)> = SHARES
        .iter()
        .map(|(family, share)| {
            let mut own = random.derive(*share as u64 + *family as u64 * 1000);
            (*family, *share, of_family(*family, &mut own).into_iter())
        })
        .collect();
    let mut plans = Vec::new();
    while plans.len() < count && !families.is_empty() {
        let total: usize = families.iter().map(|(_, share, _)| share).sum();
        let mut ticket = random.below(total);
        let place = families
            .iter()
            .position(|(_, share, _)| {
                let is_hit = ticket < *share;
                ticket = ticket.saturating_sub(*share);
                is_hit
            })
            .unwrap_or(0);
        let (family, _, left) = &mut families[place];
        match left.next() {
            Some((scenario, fault)) => {
                plans.push(Plan { number: plans.len() + 1, family: *family, scenario, fault });
            }
            None => drop(families.remove(place)),
        }
    }
    plans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_plans_and_they_are_many() {
        let plans = choose(1, 1500);
        assert_eq!(plans.len(), 1500);
        assert_eq!(plans, choose(1, 1500));
        assert_ne!(plans, choose(2, 1500));
        for (family, _) in SHARES {
            assert!(plans[..60].iter().any(|plan| plan.family == family), "{family:?}");
        }
    }
}

//! The desired objects of an AuthService, in the order in which they are applied.

use super::hint::Hint;
use super::rendered::Action;
use super::schema::Schema;
use crate::cluster::kinds::Kind;

/// The phases of an apply, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// What a pod must not start without: what it mounts or runs as, and its NetworkPolicy.
    Prerequisites,
    /// The Services, before pods resolve their names, the public keys, before pods sign with a new one, and the autoscaler.
    Network,
    /// What runs pods. Only applied if all prerequisites are: a pod must not mount a Secret of another owner that has
    /// the expected name.
    Workloads,
    /// What no pod needs, after the workloads, so that a failed request for it does not delay them.
    Companions,
}

/// Every object that an AuthService can own, with the action for it. The only list of them: apply, the comparison
/// while reconciling is paused, and the tests iterate over it.
#[derive(Debug)]
pub(crate) struct Objects {
    pub(crate) phases: Vec<(Phase, Vec<Action>)>,
    /// The pods that are notified of a new key set or client registry, after the prerequisites.
    pub(crate) hints: Vec<Hint>,
    /// The state of the schema, for the status.
    pub(crate) schema: Schema,
}

impl Objects {
    /// Leaves the pods as they are: removes these actions for workloads and every deletion of a Job.
    pub(crate) fn hold_workloads(&mut self, held: impl Fn(&Action) -> bool) {
        let is_deletion = |action: &Action| matches!(action, Action::Delete { kind: Kind::Job, .. });
        for (phase, actions) in &mut self.phases {
            if *phase == Phase::Workloads {
                actions.retain(|action| !held(action) && !is_deletion(action));
            }
        }
        // That of the replicas that continue to run.
        self.schema = Schema::Migrated;
    }

    /// The actions of all phases.
    pub(crate) fn actions(&self) -> impl Iterator<Item = &Action> {
        self.phases.iter().flat_map(|(_, actions)| actions)
    }
}

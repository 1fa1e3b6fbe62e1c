//! The order of rollouts. Pure.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::runtime::reflector::ObjectRef;

use crate::cluster::observed::Observed;

/// How long a rollout keeps its place, as long as a Deployment may take (`progressDeadlineSeconds`). One that is stuck
/// must not stop all others.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

pub(super) type Who = ObjectRef<Observed>;

/// The earliest is first; the name decides between those of the same second.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    since: Timestamp,
    namespace: Option<String>,
    name: String,
}

pub(super) struct Queue {
    most: usize,
    /// Since when each AuthService is being rolled out, by uid.
    running: HashMap<String, (Timestamp, Who)>,
    /// The uids of those that wait.
    waiting: BTreeMap<Turn, (String, Who)>,
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self { most, running: HashMap::new(), waiting: BTreeMap::new() }
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn runs(&self, uid: &str) -> bool {
        self.running.contains_key(uid)
    }

    pub(super) fn waits(&self, uid: &str) -> bool {
        self.waiting.values().any(|(waiting, _)| waiting == uid)
    }

    /// Adds an AuthService at its place, unless it runs or waits already.
    pub(super) fn enqueue(&mut self, uid: &str, who: Who, since: Timestamp) {
        if self.runs(uid) || self.waits(uid) {
            return;
        }
        let turn = Turn { since, namespace: who.namespace.clone(), name: who.name.clone() };
        self.waiting.insert(turn, (uid.to_owned(), who));
    }

    /// Adds an AuthService whose rollout began before this process.
    pub(super) fn resume(&mut self, uid: &str, who: Who, since: Timestamp) {
        self.running.insert(uid.to_owned(), (since, who));
    }

    /// Removes an AuthService. Returns whether it was there.
    pub(super) fn remove(&mut self, uid: &str) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|_, (waiting, _)| waiting != uid);
        self.running.remove(uid).is_some() || self.waiting.len() < before
    }

    /// Frees the places of rollouts that are stuck and of AuthServices that are gone, and gives free places to those
    /// that wait. Returns who may start.
    pub(super) fn settle(&mut self, now: Timestamp, exists: impl Fn(&str, &Who) -> bool) -> Vec<Who> {
        self.running.retain(|uid, (since, who)| now.duration_since(*since) < LONGEST && exists(uid, who));
        self.waiting.retain(|_, (uid, who)| exists(uid, who));
        let mut started = Vec::new();
        while self.running.len() < self.most {
            let Some((_, (uid, who))) = self.waiting.pop_first() else { break };
            self.running.insert(uid, (now, who.clone()));
            started.push(who);
        }
        started
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::ToSpan;
    use proptest::prelude::*;

    use super::*;

    fn who(name: &str) -> Who {
        ObjectRef::new(name).within("a")
    }

    fn names(started: Vec<Who>) -> Vec<String> {
        started.into_iter().map(|who| who.name).collect()
    }

    #[test]
    fn the_first_to_wait_is_the_first_to_start() {
        let start = Timestamp::UNIX_EPOCH;
        let mut queue = Queue::new(2);
        for (name, second) in [("d", 3), ("b", 1), ("c", 1), ("a", 2)] {
            queue.enqueue(name, who(name), start + second.seconds());
            // Waiting again does not change the place.
            queue.enqueue(name, who(name), start);
        }
        assert_eq!(names(queue.settle(start, |_, _| true)), ["b", "c"]);
        assert!(queue.remove("c") && !queue.remove("c"));
        assert_eq!(names(queue.settle(start, |_, _| true)), ["a"]);
        assert!(queue.runs("b") && queue.runs("a") && queue.waits("d"));
    }

    #[test]
    fn a_stuck_rollout_and_a_deleted_one_free_their_places() {
        let start = Timestamp::UNIX_EPOCH;
        let mut queue = Queue::new(1);
        queue.resume("stuck", who("stuck"), start);
        queue.enqueue("gone", who("gone"), start);
        queue.enqueue("next", who("next"), start + 1.second());
        let exists = |uid: &str, _: &Who| uid != "gone";
        assert!(queue.settle(start + 9.minutes(), exists).is_empty());
        assert_eq!(names(queue.settle(start + 10.minutes(), exists)), ["next"]);
        assert_eq!((queue.running(), queue.waiting()), (1, 0));
    }

    proptest! {
        #[test]
        fn the_limit_holds_and_everybody_starts(steps in proptest::collection::vec((0_usize..20, any::<bool>()), 1..200), most in 1_usize..5) {
            let mut queue = Queue::new(most);
            for (number, ends) in steps {
                let uid = number.to_string();
                if ends {
                    queue.remove(&uid);
                } else {
                    queue.enqueue(&uid, who(&uid), Timestamp::UNIX_EPOCH);
                }
                queue.settle(Timestamp::UNIX_EPOCH, |_, _| true);
                prop_assert!(queue.running() <= most);
                prop_assert!(queue.waiting() == 0 || queue.running() == most);
            }
            while queue.running() > 0 {
                let uid = queue.running.keys().next().cloned().unwrap_or_default();
                queue.remove(&uid);
                queue.settle(Timestamp::UNIX_EPOCH, |_, _| true);
            }
            prop_assert_eq!(queue.waiting(), 0);
        }
    }
}

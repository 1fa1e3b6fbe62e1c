//! Explores all states that a model can reach, breadth first, so that a counterexample is as short as possible.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::{Debug, Write as _};
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A system with finitely many states.
pub trait Model {
    type State: Clone + Eq + Hash + Debug;
    type Step: Copy + Debug;

    fn initial(&self) -> Self::State;
    /// Adds every state that is one step away.
    fn add_next(&self, state: &Self::State, next: &mut Vec<(Self::Step, Self::State)>);
    /// The promise that this state breaks.
    fn broken_promise(&self, state: &Self::State) -> Option<&'static str>;
}

/// All states that can be reached, the initial one first.
pub struct Reached<S> {
    pub states: Vec<S>,
    pub transitions: usize,
}

/// The steps to a state that breaks a promise.
#[derive(Debug)]
pub struct Counterexample {
    pub promise: &'static str,
    pub steps: String,
    pub explored: usize,
}

/// # Errors
/// The shortest way to a state that breaks a promise.
///
/// # Panics
/// If there are more states than `most`.
pub fn explore<M: Model>(model: &M, most: usize) -> Result<Reached<M::State>, Counterexample> {
    let mut indexes: HashMap<M::State, usize, BuildHasherDefault<FastHasher>> = HashMap::default();
    let mut states = vec![model.initial()];
    let mut ways: Vec<Option<(usize, M::Step)>> = vec![None];
    indexes.insert(model.initial(), 0);
    let (mut at, mut transitions, mut next) = (0, 0, Vec::new());
    while at < states.len() {
        if let Some(promise) = model.broken_promise(&states[at]) {
            let steps = describe_way(&ways, &states, at);
            return Err(Counterexample { promise, steps, explored: states.len() });
        }
        model.add_next(&states[at], &mut next);
        transitions += next.len();
        for (step, state) in next.drain(..) {
            if let Entry::Vacant(entry) = indexes.entry(state) {
                states.push(entry.key().clone());
                ways.push(Some((at, step)));
                entry.insert(states.len() - 1);
            }
        }
        assert!(states.len() <= most, "more than {most} states");
        at += 1;
    }
    Ok(Reached { states, transitions })
}

fn describe_way<S: Debug, T: Copy + Debug>(ways: &[Option<(usize, T)>], states: &[S], end: usize) -> String {
    let (mut steps, mut at) = (Vec::new(), end);
    while let Some((before, step)) = ways[at] {
        steps.push(step);
        at = before;
    }
    let mut text = String::new();
    for (number, step) in steps.iter().rev().enumerate() {
        let _ = writeln!(text, "{:3}. {step:?}", number + 1);
    }
    let _ = writeln!(text, "which leads to {:?}", states[end]);
    text
}

/// The default hasher resists attacks, which is slow and has no use here.
#[derive(Default)]
pub struct FastHasher(u64);

impl Hasher for FastHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.cast_unsigned() as u64);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

//! The decisions about one AuthClient. Pure: time and random values are arguments.

mod accept;
mod client;
mod conditions;
mod credentials;
mod render;
mod secret;

#[cfg(test)]
mod documented_tests;
#[cfg(test)]
pub(super) mod fixtures;

pub(crate) use accept::{Admission, accept, admits, may_have_id};
pub(crate) use conditions::{Facts, Registered, SecretState, Stated, decide_conditions};
pub(crate) use render::{RenderedSecret, render};
pub(crate) use secret::{Change, Generated, Rotation, Stored, decide_generated, due, existing, stored};

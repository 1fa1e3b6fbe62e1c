//! The Helm chart: what it renders, what it refuses, and that a real API server takes it.

mod install;
mod render;
mod values;

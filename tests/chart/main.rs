//! The Helm chart: what it renders, what it refuses, and that a real API server accepts it.

mod alerts;
mod conform;
mod dashboard;
mod install;
mod linters;
mod render;
mod values;

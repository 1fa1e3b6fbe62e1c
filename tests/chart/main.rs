//! The Helm chart: its rendered objects, its validation of values, and its installation on a real API server.

mod alerts;
mod conform;
mod dashboard;
mod images;
mod install;
mod linters;
mod render;
mod supported_versions;
mod values;

//! How the house is built: which part may know of which, how long a file may be, and that what is generated is
//! what is committed. docs/architecture.md says why.

mod cycles;
mod dependencies;
mod files;
mod generated;
mod layers;
mod secrets;
mod sources;

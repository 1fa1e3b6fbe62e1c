//! How the house is built: which part may know of which, how long a file may be, and that what is generated is
//! what is committed. docs/development/layout.md says why.

mod dependencies;
mod documentation;
mod files;
mod generated;
mod imports;
mod layers;
mod links;
mod reference;
mod release;
mod secrets;
mod sources;

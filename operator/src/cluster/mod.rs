//! The objects that the API server last returned, and the clients for it. Nothing here depends on how an
//! AuthService is reconciled: which objects an AuthService refers to is given as a function.

pub(crate) mod auth_clients;
pub(crate) mod cache;
pub(crate) mod cached_object;
pub(crate) mod change_filter;
mod client_watches;
pub(crate) mod clients;
pub(crate) mod controller_reference;
pub(crate) mod fence;
pub(crate) mod instrumentation;
pub(crate) mod joint_watch;
pub(crate) mod kinds;
pub(crate) mod lenient;
pub(crate) mod list_watch;
pub(crate) mod named_reads;
pub(crate) mod object_store;
pub(crate) mod observed;
pub(crate) mod observed_client;
mod optional_kinds;
pub(crate) mod owners;
pub(crate) mod references;
pub(crate) mod unstored;
pub(crate) mod watch_errors;
pub(crate) mod watches;

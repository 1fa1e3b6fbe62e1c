//! The operator on a real API server, with the rights and arguments that the chart gives it. There are no
//! nodes: controllers make pods, and the tests say what becomes of them.

mod create;
mod fixture;
mod kubelet;
mod status_port;
mod waiting;

//! The decisions of revocation and of refresh token rotation, without I/O, clock or randomness.
//!
//! The server calls these functions with what PostgreSQL, Redis and its clock say. The models in `tests/` call the same
//! functions in every state that two replicas, PostgreSQL and Redis can reach.

pub mod clock;
pub mod lease;
pub mod record;
pub mod rotation;

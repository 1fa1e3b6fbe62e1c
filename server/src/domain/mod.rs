//! Types and rules as pure functions, without I/O, clock or randomness. Functions take the time as an argument.

pub mod audit;
pub mod client_assertion;
pub mod client_id;
pub mod email_address;
pub mod group_name;
pub mod locale;
pub mod login_name;
pub mod name_prefix;
pub mod origin;
pub mod password;
pub mod password_hash;
pub mod permission;
pub mod person_name;
pub mod rate_limit;
pub mod service_account;
pub mod username;

pub use latchkey_protocol::{clock, rotation};

pub use audit::{AuditEvent, AuditKind, Outcome};
pub use client_assertion::{AssertionClaims, PodClaims};
pub use client_id::ClientId;
pub use email_address::EmailAddress;
pub use group_name::{GroupDescription, GroupName};
pub use locale::Locale;
pub use login_name::LoginName;
pub use name_prefix::NamePrefix;
pub use origin::Origin;
pub use password::{Password, PasswordRefusal};
pub use password_hash::PasswordHash;
pub use permission::{Permission, Permissions, Power};
pub use person_name::PersonName;
pub use service_account::ServiceAccount;
pub use username::Username;

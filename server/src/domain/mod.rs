//! The rules themselves: pure, without I/O, clock or randomness. Time comes in as an argument.

pub mod email_address;
pub mod login_name;
pub mod password;
pub mod person_name;
pub mod rotation;
pub mod username;

pub use email_address::EmailAddress;
pub use login_name::LoginName;
pub use password::{Password, PasswordRefusal};
pub use person_name::PersonName;
pub use username::Username;

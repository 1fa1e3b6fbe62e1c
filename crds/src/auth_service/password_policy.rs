//! Requirements for new passwords.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Requirements for new passwords. Common passwords and the names of the account are always refused. There are no
/// composition rules, because NIST SP 800-63B-4 forbids them. Existing passwords stay valid.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PasswordPolicy {
    /// The minimum number of characters. NIST SP 800-63B-4 requires 15 where the password is the only factor.
    #[serde(default = "shortest")]
    #[schemars(range(min = 8, max = 64))]
    pub min_length: i32,
    /// Words such as the names of the company, its products and its locations. A password that consists only of these,
    /// digits, punctuation and spaces is refused; case is ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 3, max = 64)))]
    #[x_kube(validation = Rule::new("self.all(word, word.matches('^[^,\\\\p{Cc}\\\\s]([^,\\\\p{Cc}]*[^,\\\\p{Cc}\\\\s])?$') && word.matches('[\\\\pL\\\\pN]'))")
        .message("spec.passwordPolicy.forbiddenWords must contain words or names, such as example, without commas and control characters and without spaces around them"))]
    pub forbidden_words: Vec<String>,
}

fn shortest() -> i32 {
    8
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self { min_length: shortest(), forbidden_words: Vec::new() }
    }
}

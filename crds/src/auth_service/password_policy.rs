//! Which new passwords are good enough.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What is asked of a password when one is chosen, beside what always is: it is none of the common ones and none of the
/// account's own names. There are no rules of composition, which NIST SP 800-63B-4 forbids. Passwords that were chosen
/// before stay good.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PasswordPolicy {
    /// The fewest characters it may have. 15 is what NIST SP 800-63B-4 asks for where a password is all there is.
    #[serde(default = "shortest")]
    #[schemars(range(min = 8, max = 64))]
    pub min_length: i32,
    /// Names of the company, its products, its places and the like. A password that consists of nothing but these, digits,
    /// punctuation and spaces is refused, whatever its case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 3, max = 64)))]
    #[x_kube(validation = Rule::new("self.all(word, word.matches('^[^,\\\\p{Cc}\\\\s]([^,\\\\p{Cc}]*[^,\\\\p{Cc}\\\\s])?$') && word.matches('[\\\\pL\\\\pN]'))")
        .message("spec.passwordPolicy.forbiddenWords must hold words or names, such as example, without commas and control characters and without spaces around them"))]
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

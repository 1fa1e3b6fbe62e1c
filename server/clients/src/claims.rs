//! Claims that the applications of a client expect, from the groups of a person: some authorise by `roles`, not by `groups`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rules::{MAX_CLAIM_VALUES, claim_name_fault, group_name_fault, scope_fault};

/// A claim of the access tokens of people who log in through the client. It has the values of the groups in which the person
/// is, each once, in the order of [`GroupClaim::values`]; none gives an empty list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupClaim {
    /// Its name; see [`claim_name_fault`].
    pub name: String,
    /// How the values are written.
    #[serde(default)]
    pub format: ClaimFormat,
    /// The values.
    pub values: Vec<ClaimValue>,
}

/// How the values of a claim are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimFormat {
    /// `["admin", "editor"]`
    #[default]
    Array,
    /// `"admin editor"`
    SpaceSeparated,
}

/// A value for the members of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimValue {
    /// The name of the group, which is compared without regard to case.
    pub group: String,
    /// What the claim then contains: the characters of a scope token, so that it fits into either format.
    pub value: String,
}

impl GroupClaim {
    /// The claim of a person; `is_member` tells whether the person is in the group of a name.
    pub fn value_for(&self, is_member: impl Fn(&str) -> bool) -> Value {
        let mut found: Vec<&str> = Vec::new();
        for ClaimValue { group, value } in &self.values {
            if is_member(group) && !found.contains(&value.as_str()) {
                found.push(value);
            }
        }
        match self.format {
            ClaimFormat::Array => Value::from(found),
            ClaimFormat::SpaceSeparated => Value::from(found.join(" ")),
        }
    }

    /// The most bytes that the claim adds to a token, as JSON.
    pub(crate) fn size(&self) -> usize {
        // The quotes and the comma or the space; none of the characters is escaped.
        let values: usize = self.values.iter().map(|value| value.value.len() + 3).sum();
        self.name.len() + values + 6
    }

    /// The first rule that the claim breaks: the rest of a sentence that starts with the client.
    pub(crate) fn fault(&self) -> Option<String> {
        if let Some(reason) = claim_name_fault(&self.name) {
            return Some(format!("has a claim whose name {reason}"));
        }
        if self.values.is_empty() || self.values.len() > MAX_CLAIM_VALUES {
            return Some(format!("has a claim without values, or with more than {MAX_CLAIM_VALUES}"));
        }
        self.values.iter().find_map(|ClaimValue { group, value }| {
            group_name_fault(group)
                .map(|reason| format!("has a claim for a group whose name {reason}"))
                .or_else(|| scope_fault(value).map(|reason| format!("has a claim whose value {reason}")))
        })
    }
}

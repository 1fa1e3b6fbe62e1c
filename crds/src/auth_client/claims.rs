//! Claims from the groups of a person.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A claim with the values of the groups in which the person is. It is empty if there are none.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct ClientClaim {
    /// The name of the claim, such as roles. Claims that tokens have anyway, such as sub, scope, groups and email, are
    /// reserved.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[!#-\\\\[\\\\]-~]+$')")
        .message("spec.claims[].name must have printable ASCII characters only, without spaces, quotes and backslashes"))]
    pub name: String,
    /// Array (a list) or SpaceSeparated (one text, like the claim scope).
    #[serde(default)]
    pub format: ClaimFormat,
    /// The values of the members of groups. A value that several groups have is contained once.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(
        validation = Rule::new("self.all(one, one.group.matches('^/?[A-Za-z0-9_][A-Za-z0-9._:-]*(/[A-Za-z0-9_][A-Za-z0-9._:-]*)*$') && !one.group.matches('^(?i)system:'))")
            .message("spec.claims[].values[].group must be the name of a group: ASCII letters, digits or . _ - : /, not beginning with system:"),
        validation = Rule::new("self.all(one, one.value.matches('^[!#-\\\\[\\\\]-~]+$'))")
            .message("spec.claims[].values[].value must have printable ASCII characters only, without spaces, quotes and backslashes")
    )]
    pub values: Vec<ClaimValue>,
}

/// How the values of a claim are written.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClaimFormat {
    /// A list.
    #[default]
    Array,
    /// One text, separated by spaces.
    SpaceSeparated,
}

/// A value for the members of a group.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, Default)]
pub struct ClaimValue {
    /// The name of the group. It is compared without regard to case.
    #[schemars(length(min = 1, max = 128))]
    pub group: String,
    /// The value.
    #[schemars(length(min = 1, max = 128))]
    pub value: String,
}

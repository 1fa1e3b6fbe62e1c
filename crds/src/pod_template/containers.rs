//! Checks the containers in an override of the pod template: the server's own, and additional ones.

use serde_json::{Map, Value};

use super::fields::{Refusal, VOLUMES, elements, is_setting, member, name_of, only};
use super::{HTTP_PORT, MANAGEMENT_PORT, SERVER_CONTAINER};

const SERVER_FIELDS: [&str; 7] =
    ["env", "lifecycle", "livenessProbe", "name", "readinessProbe", "startupProbe", "volumeMounts"];
const PROBE_FIELDS: [&str; 6] = [
    "failureThreshold",
    "initialDelaySeconds",
    "periodSeconds",
    "successThreshold",
    "terminationGracePeriodSeconds",
    "timeoutSeconds",
];
/// The fields of an additional container's security context that only restrict it.
const SECURITY_FIELDS: [&str; 9] = [
    "allowPrivilegeEscalation",
    "capabilities",
    "privileged",
    "readOnlyRootFilesystem",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "seLinuxOptions",
    "seccompProfile",
];
/// Folders in the server's container with its program, its files, and what its libraries trust.
const FOLDERS: [&str; 12] = [
    "/etc/latchkey",
    "/etc/ssl",
    "/etc/passwd",
    "/etc/nsswitch.conf",
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/proc",
    "/sys",
    "/dev",
];

/// Checks one container.
pub(super) fn check(container: &Map<String, Value>, path: &str, is_main: bool) -> Refusal {
    let name = name_of(container);
    if name.is_empty() {
        return Err(format!("{path}.name is required: it identifies the container."));
    }
    if name == SERVER_CONTAINER {
        if !is_main {
            return Err(format!("{path}.name: {name} is the name of the server's container: use another."));
        }
        return check_server(container, path);
    }
    check_additional(container, path)
}

fn check_server(container: &Map<String, Value>, path: &str) -> Refusal {
    only(container, &SERVER_FIELDS, path)?;
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(found) = member(container, probe, path)? {
            only(found, &PROBE_FIELDS, &format!("{path}.{probe}"))?;
        }
    }
    for (variable, path) in elements(container, "env", path)? {
        let name = name_of(variable);
        if is_setting(name) {
            return Err(format!("{path}: {name} is set by the operator: use the field of the spec for it."));
        }
    }
    for (mount, path) in elements(container, "volumeMounts", path)? {
        refuse_own_volume(mount, &path)?;
        let target = mount.get("mountPath").and_then(Value::as_str).unwrap_or_default();
        let parts = normalised(target);
        let touches = |folder: &&&str| {
            let folder = normalised(folder);
            folder.starts_with(&parts) || parts.starts_with(&folder)
        };
        if let Some(folder) = FOLDERS.iter().find(touches) {
            return Err(format!("{path}.mountPath: {target} would cover {folder}: use another path."));
        }
    }
    Ok(())
}

/// The folders of a path without `.`, `..` and empty ones.
fn normalised(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts
}

fn check_additional(container: &Map<String, Value>, path: &str) -> Refusal {
    if let Some(security) = member(container, "securityContext", path)? {
        let path = format!("{path}.securityContext");
        only(security, &SECURITY_FIELDS, &path)?;
        let flag = |name: &str| security.get(name).and_then(Value::as_bool);
        let is_root = security.get("runAsUser").is_some_and(|user| user == 0);
        let adds = member(security, "capabilities", &path)?
            .is_some_and(|capabilities| capabilities.contains_key("add"));
        let profile = member(security, "seccompProfile", &path)?.and_then(|profile| profile.get("type"));
        for (refused, field) in [
            (flag("privileged") == Some(true), "privileged"),
            (flag("allowPrivilegeEscalation") == Some(true), "allowPrivilegeEscalation"),
            (flag("runAsNonRoot") == Some(false), "runAsNonRoot"),
            (is_root, "runAsUser"),
            (adds, "capabilities.add"),
            (profile.is_some_and(|profile| profile == "Unconfined"), "seccompProfile"),
        ] {
            if refused {
                return Err(format!("{path}.{field} would weaken the security of the pod: remove it."));
            }
        }
    }
    for (port, path) in elements(container, "ports", path)? {
        let number = port.get("containerPort").and_then(Value::as_i64).unwrap_or_default();
        let is_ours = ["http", "management"].contains(&name_of(port))
            || [i64::from(HTTP_PORT), i64::from(MANAGEMENT_PORT)].contains(&number);
        if is_ours {
            return Err(format!(
                "{path}: the ports http (8080) and management (9090) belong to the server: use others."
            ));
        }
        if port.contains_key("hostPort") || port.contains_key("hostIP") {
            return Err(format!("{path}.hostPort cannot be overridden: remove it."));
        }
    }
    for (mount, path) in elements(container, "volumeMounts", path)? {
        refuse_own_volume(mount, &path)?;
    }
    Ok(())
}

/// The files of the server, such as its signing keys, are for the server only.
fn refuse_own_volume(mount: &Map<String, Value>, path: &str) -> Refusal {
    let name = name_of(mount);
    if VOLUMES.contains(&name) {
        return Err(format!("{path}: the volume {name} belongs to the server: use another."));
    }
    Ok(())
}

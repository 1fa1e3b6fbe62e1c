//! The registries of images, and the Secrets for them. Pure.

use latchkey_crds::AuthServiceSpec;
use latchkey_crds::auth_service::SecretName;

/// The image from another registry: `docker.io/library/postgres:17` from `registry.example.com/mirror` is
/// `registry.example.com/mirror/library/postgres:17`. Without a registry, or if the image is from it already, the image
/// stays as it is.
pub(crate) fn with_registry(image: &str, registry: &str) -> String {
    let registry = registry.trim_end_matches('/');
    if registry.is_empty() || image.strip_prefix(registry).is_some_and(|rest| rest.starts_with('/')) {
        return image.to_owned();
    }
    match image.split_once('/') {
        Some((host, path)) if is_host(host) => format!("{registry}/{path}"),
        // A name without a registry is one of Docker Hub, whose official images are in the path `library`.
        Some(_) => format!("{registry}/{image}"),
        None => format!("{registry}/library/{image}"),
    }
}

/// The same for a repository of a spec: one that names its registry is used as it is.
pub(crate) fn with_default_registry(repository: &str, registry: &str) -> String {
    let names_its_registry = repository.split_once('/').is_some_and(|(host, _)| is_host(host));
    if names_its_registry { repository.to_owned() } else { with_registry(repository, registry) }
}

/// The spec with the pull secrets of the installation, each once.
pub(crate) fn with_pull_secrets(mut spec: AuthServiceSpec, names: &[String]) -> AuthServiceSpec {
    for name in names {
        let secrets = &mut spec.image.pull_secrets;
        if secrets.iter().all(|secret| secret.name != *name) {
            secrets.push(SecretName { name: name.clone() });
        }
    }
    spec
}

/// Whether the first part of an image is a registry
/// (<https://pkg.go.dev/github.com/distribution/reference>: it contains a dot or a colon, or is `localhost`).
fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_pulled_from_the_registry() {
        let from = |image: &str| with_registry(image, "registry.example.com:5000/mirror/");
        for (image, expected) in [
            ("ghcr.io/latchkey-dev/latchkey-server:0.1.0", "latchkey-dev/latchkey-server:0.1.0"),
            ("docker.io/library/postgres:17", "library/postgres:17"),
            ("localhost/latchkey-server:1", "latchkey-server:1"),
            ("team/server@sha256:ab", "team/server@sha256:ab"),
            ("postgres:17", "library/postgres:17"),
        ] {
            let expected = format!("registry.example.com:5000/mirror/{expected}");
            assert_eq!(from(image), expected);
            assert_eq!(from(&expected), expected, "twice");
        }
        assert_eq!(with_registry("postgres:17", ""), "postgres:17");
    }

    #[test]
    fn a_repository_that_names_its_registry_is_used_as_it_is() {
        let of = |repository| with_default_registry(repository, "mirror.example");
        assert_eq!(of("other.example/team/server"), "other.example/team/server");
        assert_eq!(of("team/server"), "mirror.example/team/server");
    }
}

//! The image of the server.

use latchkey_crds::auth_service::Image;

use super::images::with_default_registry;

/// The image of the spec, completed from the default.
pub(crate) fn server_image(image: &Image, default: &str, registry: &str) -> String {
    let (default_repository, default_suffix) = split_image(default);
    let own = image.repository.as_deref().map(|repository| with_default_registry(repository, registry));
    let repository = own.as_deref().unwrap_or(default_repository);
    match (&image.digest, &image.tag) {
        (Some(digest), _) => format!("{repository}@{digest}"),
        (None, Some(tag)) => format!("{repository}:{tag}"),
        // A digest belongs to the repository it was taken from.
        (None, None) if image.repository.is_some() && default_suffix.starts_with('@') => {
            format!("{repository}:{}", env!("CARGO_PKG_VERSION"))
        }
        (None, None) => format!("{repository}{default_suffix}"),
    }
}

/// The repository, and the tag or digest with its separator.
fn split_image(image: &str) -> (&str, &str) {
    if let Some(at) = image.find('@') {
        return image.split_at(at);
    }
    let path = image.rfind('/').map_or(0, |slash| slash + 1);
    match image[path..].rfind(':') {
        Some(colon) => image.split_at(path + colon),
        None => (image, ""),
    }
}

/// The tag of an image, if it has one.
pub(crate) fn tag_of(image: &str) -> Option<&str> {
    split_image(image).1.strip_prefix(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = "registry.example:5000/latchkey/server:1.2.3";

    fn image(repository: Option<&str>, tag: Option<&str>, digest: Option<&str>) -> Image {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Image { repository: own(repository), tag: own(tag), digest: own(digest), ..Image::default() }
    }

    #[test]
    fn omitted_fields_come_from_the_default() {
        let named = |image: Image| server_image(&image, DEFAULT, "");
        assert_eq!(named(Image::default()), DEFAULT);
        assert_eq!(named(image(None, Some("9"), None)), "registry.example:5000/latchkey/server:9");
        assert_eq!(named(image(Some("mine/it"), None, None)), "mine/it:1.2.3");
        assert_eq!(
            named(image(None, None, Some("sha256:ab"))),
            "registry.example:5000/latchkey/server@sha256:ab"
        );
    }

    #[test]
    fn the_digest_of_one_repository_is_not_used_with_another() {
        let default = "ghcr.io/a/b@sha256:ab";
        assert_eq!(server_image(&Image::default(), default, ""), default);
        let other = server_image(&image(Some("mine/it"), None, None), default, "");
        assert_eq!(other, format!("mine/it:{}", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn a_port_is_not_a_tag() {
        assert_eq!(tag_of("registry.example:5000/server"), None);
        assert_eq!(tag_of(DEFAULT), Some("1.2.3"));
        assert_eq!(tag_of("a@sha256:ab"), None);
        // If there is a digest, the tag has no effect.
        assert_eq!(tag_of("a:1@sha256:ab"), None);
    }
}

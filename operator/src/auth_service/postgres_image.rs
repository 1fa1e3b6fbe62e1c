//! The image of an embedded PostgreSQL with a volume. Pure.

/// The image to run, and whether it differs from the operator's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PostgresImage {
    pub image: String,
    /// The default image that is not used, because it cannot read the volume or this is not known.
    pub held_back: Option<String>,
}

/// Decides by the image that wrote the volume (`None`: there is no volume yet). PostgreSQL only starts on data of its
/// own major version.
pub(crate) fn decide_postgres_image(wanted: &str, running: Option<&str>) -> PostgresImage {
    match running.filter(|running| *running != wanted) {
        Some(running) if major(running).is_none() || major(running) != major(wanted) => {
            PostgresImage { image: running.to_owned(), held_back: Some(wanted.to_owned()) }
        }
        _ => PostgresImage { image: wanted.to_owned(), held_back: None },
    }
}

/// The major version at the start of a tag, as in `postgres:17.6-alpine@sha256:…`.
fn major(image: &str) -> Option<u32> {
    let tag = super::image::tag_of(image.split('@').next()?)?;
    let end = tag.find(|c: char| !c.is_ascii_digit()).unwrap_or(tag.len());
    tag[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minor_version_is_adopted_and_a_major_one_is_not() {
        let image = |wanted, running| {
            let decided = decide_postgres_image(wanted, running);
            (decided.image, decided.held_back.is_some())
        };
        assert_eq!(image("pg:17.6", None), ("pg:17.6".to_owned(), false));
        assert_eq!(image("other.example/pg:17.6-alpine", Some("pg:17.2")).0, "other.example/pg:17.6-alpine");
        assert_eq!(image("pg:18", Some("pg:17.2")), ("pg:17.2".to_owned(), true));
        assert_eq!(image("pg:latest", Some("pg:17")), ("pg:17".to_owned(), true));
        assert_eq!(image("pg:1", Some("pg:17")), ("pg:17".to_owned(), true));
        assert_eq!(image("pg:17.6@sha256:aa", Some("pg:17.2@sha256:bb")).0, "pg:17.6@sha256:aa");
        assert_eq!(image("pg@sha256:aa", Some("pg@sha256:bb")), ("pg@sha256:bb".to_owned(), true));
        assert_eq!(image("pg@sha256:aa", Some("pg@sha256:aa")), ("pg@sha256:aa".to_owned(), false));
    }
}

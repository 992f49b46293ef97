//! The configuration file with every setting at its default.

/// What `mqttchat default-config` prints.
pub const DEFAULT_CONFIG: &str = include_str!("default.toml");

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::Flags;
    use crate::config::keys::KEYS;
    use crate::config::{Config, Layers};

    fn check(toml: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mqttchat.toml");
        std::fs::write(&file, toml).unwrap();
        let mut flags = Flags::default();
        flags.config = Some(file);
        let layers = Layers::read(&flags, []).unwrap();
        Config::check(&layers, Some(Path::new("/home/ann/.local/share"))).unwrap()
    }

    #[test]
    fn it_says_exactly_the_defaults() {
        assert_eq!(check(DEFAULT_CONFIG), check(""));
    }

    #[test]
    fn it_shows_every_setting() {
        for key in KEYS {
            let (section, leaf) = key.rsplit_once('.').unwrap_or(("", key));
            let of_section = match section {
                "" => DEFAULT_CONFIG.split("\n[").next(),
                name => DEFAULT_CONFIG.split("\n[").find(|part| part.starts_with(&format!("{name}]"))),
            };
            let shown = of_section.unwrap().lines().any(|line| {
                line.strip_prefix("# ")
                    .unwrap_or(line)
                    .strip_prefix(leaf)
                    .is_some_and(|rest| rest.starts_with(" = "))
            });
            assert!(shown, "{key}");
        }
    }

    #[test]
    fn what_is_commented_out_works_too() {
        let given: String = DEFAULT_CONFIG
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = \"")).unwrap_or(line))
            // The other broker excludes the settings of the embedded one.
            .filter(|line| !["broker = ", "static = "].iter().any(|other| line.starts_with(other)))
            // One place for keys excludes the other.
            .filter(|line| !line.starts_with("jwks_url = "))
            // Without another broker there is no TLS to it.
            .filter(|line| !["ca = ", "cert = ", "key = "].iter().any(|tls| line.starts_with(tls)))
            .fold(String::new(), |text, line| text + line + "\n");
        assert_eq!(check(&given).data, Path::new("/var/lib/mqttchat"));
    }
}

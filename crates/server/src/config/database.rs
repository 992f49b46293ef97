//! Where the log is kept.

use std::fmt;

/// `postgres://user:password@host:port/name`; what stands in it is PostgreSQL's to understand.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// Takes a URL; `None` when it is none of PostgreSQL.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))?;
        (!rest.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The whole of it, password included.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    /// Leaves out the login.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for DatabaseUrl {
    /// Leaves out the login.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        write!(f, "postgres://{}", place.split('?').next().unwrap_or(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let url = DatabaseUrl::parse("postgres://chat:p@ss@db:5432/chat?password=x").unwrap();
        assert_eq!(format!("{url} {url:?}"), "postgres://db:5432/chat postgres://db:5432/chat");
        assert_eq!(DatabaseUrl::parse("mysql://db"), None);
        assert_eq!(DatabaseUrl::parse("postgres://"), None);
    }
}

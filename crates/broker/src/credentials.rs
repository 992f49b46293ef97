//! A login made at start.

use std::fmt;

/// User and password for the bridge listeners, made anew at each start and never written anywhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password: 256 random bits in hexadecimal.
    pub password: String,
}

impl Credentials {
    /// A new random password for `user`.
    pub(crate) fn random(user: &str) -> Self {
        let secret: [u8; 32] = rand::random();
        let password = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { user: user.to_owned(), password }
    }
}

impl fmt::Debug for Credentials {
    /// Leaves out the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_differ() {
        let (a, b) = (Credentials::random("x"), Credentials::random("x"));
        assert_eq!(a.password.len(), 64);
        assert_ne!(a.password, b.password);
    }

    #[test]
    fn debug_output_has_no_password() {
        let credentials = Credentials::random("bridge");
        assert!(!format!("{credentials:?}").contains(&credentials.password));
    }
}

//! Who may come in.

use std::collections::HashMap;

use rumqttd::protocol::{ConnectReturnCode, Login};
use sha2::{Digest, Sha256};

use crate::options::DeviceLogin;

/// The users, with digests instead of passwords: comparing those takes no time that tells about a password.
pub(crate) enum Logins {
    Anonymous,
    Users(HashMap<String, [u8; 32]>),
}

impl Logins {
    pub(crate) fn new(login: DeviceLogin) -> Self {
        match login {
            DeviceLogin::Anonymous => Self::Anonymous,
            DeviceLogin::Users(users) => {
                Self::Users(users.into_iter().map(|(user, password)| (user, digest(&password))).collect())
            }
        }
    }

    /// The CONNACK code for somebody who may not.
    pub(crate) fn check(&self, login: Option<&Login>) -> Result<(), ConnectReturnCode> {
        let Self::Users(users) = self else { return Ok(()) };
        let login = login.ok_or(ConnectReturnCode::NotAuthorized)?;
        let given = digest(&login.password);
        match users.get(&login.username) {
            Some(expected) if *expected == given => Ok(()),
            _ => Err(ConnectReturnCode::BadUserNamePassword),
        }
    }
}

fn digest(password: &str) -> [u8; 32] {
    Sha256::digest(password.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(username: &str, password: &str) -> Login {
        Login { username: username.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn only_the_right_password_of_a_known_user_is_let_in() {
        let logins = Logins::new(DeviceLogin::Users(HashMap::from([("ann".to_owned(), "x".to_owned())])));
        assert_eq!(logins.check(Some(&login("ann", "x"))), Ok(()));
        assert_eq!(logins.check(Some(&login("ann", "y"))), Err(ConnectReturnCode::BadUserNamePassword));
        assert_eq!(logins.check(Some(&login("bob", "x"))), Err(ConnectReturnCode::BadUserNamePassword));
        assert_eq!(logins.check(None), Err(ConnectReturnCode::NotAuthorized));
    }

    #[test]
    fn anonymous_takes_anybody() {
        let logins = Logins::new(DeviceLogin::Anonymous);
        assert_eq!(logins.check(None), Ok(()));
        assert_eq!(logins.check(Some(&login("ann", "y"))), Ok(()));
    }
}

//! The ways of a session's frames, one file each.

pub(crate) mod eventsource;
pub(crate) mod htmlfile;
pub(crate) mod jsonp;
pub(crate) mod send;
#[cfg(feature = "tungstenite")]
pub(crate) mod websocket;
pub(crate) mod xhr;

/// Longest name of a callback, in bytes.
const CALLBACK_MAX: usize = 64;

/// What is wrong with a callback, in the protocol's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallbackError {
    #[error("\"callback\" parameter required")]
    Missing,
    #[error("invalid \"callback\" parameter")]
    Invalid,
}

/// The name of the function that a page wants to be called. It becomes part of a script: nothing but a name may pass.
fn callback(query: &str) -> Result<String, CallbackError> {
    let name = ["c", "callback"]
        .iter()
        .find_map(|wanted| form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted))
        .map(|(_, value)| value.into_owned())
        .filter(|name| !name.is_empty())
        .ok_or(CallbackError::Missing)?;
    let is_name = name.len() <= CALLBACK_MAX
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if is_name { Ok(name) } else { Err(CallbackError::Invalid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_are_names() {
        assert_eq!(callback("a=b&c=%63allback").unwrap(), "callback");
        assert_eq!(callback("callback=_jp.a-1").unwrap(), "_jp.a-1");
        for none in ["", "c=", "d=x"] {
            assert_eq!(callback(none), Err(CallbackError::Missing), "{none}");
        }
        for bad in
            ["c=%20", "c=*", "c=abc(", "c=abc%28", "c=a%3Cb", "c=%0a", "c=x;alert", "c=%E2%80%A8", "c=+"]
        {
            assert_eq!(callback(bad), Err(CallbackError::Invalid), "{bad}");
        }
        assert_eq!(callback(&format!("c={}", "x".repeat(65))), Err(CallbackError::Invalid));
    }
}

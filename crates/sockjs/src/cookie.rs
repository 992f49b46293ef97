//! The cookie that some load balancers want to see before they keep a client to one server.

use warp::http::HeaderMap;
use warp::http::header::{COOKIE, HeaderValue, SET_COOKIE};

use crate::request::Request;

const NAME: &str = "JSESSIONID";
/// The longest value that is given back.
const VALUE_MAX: usize = 128;

/// Sets the cookie to what the client has, or to something: only a load balancer gives it a meaning. Set every time,
/// so that it can. Browsers send it from pages of the same site only, show it to no script, and after HTTPS never send
/// it in the clear.
pub(crate) fn set(request: &Request, reply: &mut HeaderMap) {
    let value = request
        .headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, value)| (name == NAME && is_value(value)).then_some(value));
    let (value, secure) = (value.unwrap_or("dummy"), if request.secure { "; Secure" } else { "" });
    if let Ok(cookie) =
        HeaderValue::from_str(&format!("{NAME}={value}; path=/; HttpOnly; SameSite=Strict{secure}"))
    {
        reply.insert(SET_COOKIE, cookie);
    }
}

fn is_value(value: &str) -> bool {
    value.len() <= VALUE_MAX
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'!' | b'~' | b'+'))
}

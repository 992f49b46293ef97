//! Who asks: `Authorization: Bearer …` (RFC 6750). Never a parameter, which would end up in logs.

use mqttchat_bridge::Program;
use warp::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use warp::http::{HeaderMap, StatusCode};

use super::{Api, Call};
use crate::problem::Problem;
use crate::serve::Remote;

/// The program that a request's token is of.
pub(super) async fn program(api: &Api, call: &Call) -> Result<Program, Problem> {
    if let Some(Remote(remote)) = call.remote {
        api.bridge.knock(remote.ip())?;
    }
    let token = token(&call.headers).ok_or_else(|| {
        let detail = "This call needs a token or an API key, as Authorization: Bearer ….";
        Problem::new(StatusCode::UNAUTHORIZED, detail)
            .with("code", "unauthorized")
            .with("retry", false)
            .header(WWW_AUTHENTICATE, r#"Bearer realm="mqttchat""#)
    })?;
    Ok(api.bridge.program(token).await?)
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(given), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = given.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            token(&headers).map(str::to_owned)
        };
        assert_eq!(of("Bearer x.y"), Some("x.y".to_owned()));
        assert_eq!(of("bearer  x"), Some("x".to_owned()));
        for none in ["", "Bearer", "Bearer ", "Basic eDp5", "x"] {
            assert_eq!(of(none), None, "{none}");
        }
        let mut twice = HeaderMap::new();
        twice.append(AUTHORIZATION, "Bearer x".parse().unwrap());
        twice.append(AUTHORIZATION, "Bearer y".parse().unwrap());
        assert_eq!(token(&twice), None);
    }
}

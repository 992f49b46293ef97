//! From HTTP to HTTPS: what a listener answers on which nothing else is served.

use std::convert::Infallible;
use std::future::{Ready, ready};

use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Request, Response};
use warp::http::StatusCode;
use warp::http::header::{HeaderValue, LOCATION};

use crate::headers::Security;
use crate::host::Hosts;
use crate::problem::{Problem, Reply};

/// The port that `https:` means by itself.
const HTTPS: u16 = 443;

/// Sends every client to the same address on this server's HTTPS, by 308, so that what was posted is posted again there.
#[derive(Clone, Debug)]
pub struct Redirect {
    hosts: Hosts,
    port: u16,
}

impl Redirect {
    /// To the server that is known as `hosts`, and serves HTTPS on `port`.
    #[must_use]
    pub fn new(hosts: Hosts, port: u16) -> Self {
        Self { hosts, port }
    }

    fn answer<B>(&self, request: &Request<B>) -> Result<Reply, Problem> {
        let host = self.hosts.check(request.uri(), request.headers())?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let port = if self.port == HTTPS { String::new() } else { format!(":{}", self.port) };
        let location = HeaderValue::from_str(&format!("https://{}{port}{path}", host.host()));
        let location = location
            .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "This address can't be redirected to."))?;
        let mut response: Reply = Response::default();
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response.headers_mut().insert(LOCATION, location);
        Ok(response)
    }
}

impl Service<Request<Incoming>> for Redirect {
    type Response = Reply;
    type Error = Infallible;
    type Future = Ready<Result<Reply, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut response = self.answer(&request).unwrap_or_else(Problem::into_response);
        Security::default().put(response.headers_mut(), None, false);
        ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_address_by_https() {
        let to = |port, host: &str, uri: &str| {
            let redirect = Redirect::new(Hosts::new(["chat.example".to_owned()]), port);
            let request = Request::post(uri).header("host", host).body(()).unwrap();
            match redirect.answer(&request) {
                Ok(response) => {
                    assert_eq!(response.status(), 308);
                    response.headers()[LOCATION].to_str().unwrap().to_owned()
                }
                Err(problem) => problem.status().as_str().to_owned(),
            }
        };
        assert_eq!(to(443, "chat.example", "/a?b=c"), "https://chat.example/a?b=c");
        assert_eq!(to(443, "chat.example:80", "/"), "https://chat.example/");
        assert_eq!(to(9443, "[::1]:9080", "//evil.example/%0d"), "https://[::1]:9443//evil.example/%0d");
        assert_eq!(to(443, "evil.example", "/"), "421");
        assert_eq!(to(443, "a b", "/"), "400");
    }
}

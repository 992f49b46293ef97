//! Which pages may use a service, and how a browser is told so.

use warp::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, HOST, HeaderName,
    HeaderValue, ORIGIN, VARY,
};
use warp::http::{HeaderMap, StatusCode};

use crate::options::Origins;
use crate::reply::{self, Reply};

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

impl Origins {
    /// Whether the page behind a request is welcome.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Any => true,
            Self::Those(are_welcome) => are_welcome(headers),
            Self::Own => {
                let mut named = headers.get_all(ORIGIN).iter();
                let (Some(origin), more) = (named.next(), named.next()) else { return true };
                let authority = origin.as_bytes();
                let authority =
                    authority.strip_prefix(b"http://").or_else(|| authority.strip_prefix(b"https://"));
                more.is_none()
                    && authority == headers.get(HOST).map(HeaderValue::as_bytes)
                    && authority.is_some()
            }
        }
    }
}

/// Lets the page, which was admitted, read a response.
pub(crate) fn open(request: &HeaderMap, reply: &mut HeaderMap) {
    reply.insert(VARY, HeaderValue::from_name(ORIGIN));
    // Where something in front of this service says otherwise for everything.
    reply.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    if let Some(origin) = request.get(ORIGIN) {
        reply.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        reply.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

/// Answers the question before a request.
pub(crate) fn preflight(request: &HeaderMap, methods: &'static str) -> Reply {
    let mut reply = reply::bare(StatusCode::NO_CONTENT);
    let headers = reply.headers_mut();
    reply::cache_long(headers);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("31536000"));
    if let Some(wanted) = request.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|wanted| !wanted.is_empty()) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_its_own_pages() {
        let admits = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("chat.example:8080"));
            headers.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
            Origins::Own.admit(&headers)
        };
        assert!(admits(None));
        assert!(admits(Some("http://chat.example:8080")));
        assert!(admits(Some("https://chat.example:8080")));
        for other in ["null", "http://chat.example", "http://evil.example", "chat.example:8080", ""] {
            assert!(!admits(Some(other)), "{other}");
        }
    }
}

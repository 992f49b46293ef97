//! The headers that every response carries: what a browser may do with what it got from here.

use std::time::Duration;

use warp::http::HeaderMap;
use warp::http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use crate::host::Authority;
use crate::origin::{Origin, sources};

const FIXED: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What the operator decides about these headers.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// Other sites that may show the page in a frame.
    pub embedders: Vec<Origin>,
    /// How long browsers are to come by HTTPS only, once they have; zero says nothing of it.
    pub hsts: Duration,
}

impl Security {
    /// Nothing inline, nothing from elsewhere. `connect-src 'self'` leaves out `ws:` in Safari before 15.4, so the same
    /// host is named for it.
    fn content_security_policy(&self, host: Option<&Authority>) -> String {
        let sockets = host.map(|host| format!(" ws://{host} wss://{host}")).unwrap_or_default();
        let embedders = sources(&self.embedders);
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'{sockets}; \
             manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'{embedders}"
        )
    }

    /// Puts them on a response to a request that called this server `host`, and came by HTTPS or may not have. What a
    /// response of the application says itself stays, and so does the policy of the pages of SockJS, which says who may
    /// frame them.
    pub(crate) fn put(&self, headers: &mut HeaderMap, host: Option<&Authority>, https: bool) {
        let says_who_frames = headers
            .get(CONTENT_SECURITY_POLICY)
            .is_some_and(|policy| policy.to_str().is_ok_and(|policy| policy.contains("frame-ancestors")));
        for (name, value) in FIXED {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        if !says_who_frames && self.embedders.is_empty() {
            // For browsers that don't know frame-ancestors; it can't name other sites.
            headers.entry(X_FRAME_OPTIONS).or_insert(HeaderValue::from_static("SAMEORIGIN"));
        }
        // An authority has nothing in it but letters, digits and `-_.:[]`.
        if let Ok(policy) = HeaderValue::from_str(&self.content_security_policy(host)) {
            headers.entry(CONTENT_SECURITY_POLICY).or_insert(policy);
        }
        // It holds for all ports of a name: a machine's other servers, on localhost say, are none of ours.
        if https && !self.hsts.is_zero() && host.is_some_and(Authority::is_public) {
            let seconds = format!("max-age={}", self.hsts.as_secs());
            if let Ok(value) = HeaderValue::from_str(&seconds) {
                headers.entry(STRICT_TRANSPORT_SECURITY).or_insert(value);
            }
        }
    }
}

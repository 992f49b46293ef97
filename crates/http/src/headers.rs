//! The headers that every response carries: what a browser may do with what it got from here.

use warp::http::HeaderMap;
use warp::http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};

use crate::host::Authority;

const FIXED: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // For browsers that don't know frame-ancestors.
    (X_FRAME_OPTIONS, "SAMEORIGIN"),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Nothing inline, nothing from elsewhere. `connect-src 'self'` leaves out `ws:` in Safari before 15.4, so the same
/// host is named for it.
fn content_security_policy(host: Option<&Authority>) -> String {
    let sockets = host.map(|host| format!(" ws://{host} wss://{host}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'{sockets}; \
         manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
}

/// Puts them on a response to a request that called this server `host`. What a response of the application says itself
/// stays, and so does the policy of the pages of SockJS, which says who may frame them.
pub(crate) fn secure(headers: &mut HeaderMap, host: Option<&Authority>) {
    let says_who_frames = headers
        .get(CONTENT_SECURITY_POLICY)
        .is_some_and(|policy| policy.to_str().is_ok_and(|policy| policy.contains("frame-ancestors")));
    for (name, value) in FIXED {
        if !(says_who_frames && name == X_FRAME_OPTIONS) {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
    }
    // An authority has nothing in it but letters, digits and `-_.:[]`.
    if let Ok(policy) = HeaderValue::from_str(&content_security_policy(host)) {
        headers.entry(CONTENT_SECURITY_POLICY).or_insert(policy);
    }
}

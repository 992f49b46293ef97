//! The page that pages of other sites embed, to come to this one's origin by `postMessage`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use warp::http::header::{CONTENT_SECURITY_POLICY, ETAG, HeaderValue, IF_NONE_MATCH};
use warp::http::{HeaderMap, StatusCode};

use crate::options::Options;
use crate::reply::{self, Reply};

/// The only script in the page itself.
const SCRIPT: &str = "\n    document.domain = document.domain;\n    SockJS.bootstrap_iframe();\n  ";

/// The page, made once.
#[derive(Debug)]
pub(crate) struct Iframe {
    html: String,
    etag: HeaderValue,
    policy: Option<HeaderValue>,
}

impl Iframe {
    /// The page that these options lead to; `None` when it has no client to load.
    pub(crate) fn new(options: &Options) -> Option<Self> {
        let client = escape(options.client_url.as_ref()?);
        let html = format!(
            "<!DOCTYPE html>\n<html>\n<head>\n  \
             <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n  \
             <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n  \
             <script src=\"{client}\"></script>\n  \
             <script>{SCRIPT}</script>\n</head>\n<body>\n  <h2>Don't panic!</h2>\n  \
             <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>\n</body>\n</html>"
        );
        let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
        let etag = HeaderValue::from_str(&format!("\"{}\"", hash(&html))).ok()?;
        // The transports that run in here have frames and scripts of this origin.
        let policy = format!(
            "default-src 'none'; script-src 'self' 'sha256-{}' {}; connect-src 'self'; frame-src 'self'; \
             base-uri 'none'; form-action 'self'; frame-ancestors {}",
            hash(SCRIPT),
            source(options.client_url.as_ref()?),
            options.frame_ancestors
        );
        Some(Self { html, etag, policy: HeaderValue::from_str(&policy).ok() })
    }

    pub(crate) fn answer(&self, request: &HeaderMap) -> Reply {
        let known = request.get_all(IF_NONE_MATCH).iter().any(|tags| {
            let (tags, mine) = (tags.as_bytes(), self.etag.as_bytes());
            tags == b"*" || tags.windows(mine.len()).any(|tag| tag == mine)
        });
        let mut reply = if known {
            reply::bare(StatusCode::NOT_MODIFIED)
        } else {
            reply::with(StatusCode::OK, reply::HTML, self.html.clone())
        };
        let headers = reply.headers_mut();
        reply::cache_long(headers);
        headers.insert(ETAG, self.etag.clone());
        if let Some(policy) = &self.policy {
            headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
        }
        reply
    }
}

/// What a policy calls the place of a script: without its query, which a policy doesn't know.
fn source(url: &str) -> &str {
    match url.split(['?', '#']).next() {
        Some(url) if url.contains("://") && !url.contains([';', ',', ' ']) => url,
        _ => "'self'",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

//! The page: from the binary, or from a directory while somebody works on it.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use warp::http::{HeaderMap, Method, Response, StatusCode};
use warp::hyper::body::Bytes;

use crate::origin::{Origin, sources};
use crate::problem::{Reply, method_not_allowed};

/// Where the page comes from.
#[derive(Clone, Debug)]
pub enum Assets {
    /// Compiled in.
    Embedded,
    /// Read from this directory at each request, and never cached.
    Directory(PathBuf),
}

/// Everything that belongs to the page, and nothing that only belongs to working on it.
#[derive(RustEmbed)]
#[folder = "../../static"]
#[include = "index.html"]
#[include = "favicon.*"]
#[include = "manifest.webmanifest"]
#[include = "css/*"]
#[include = "js/*"]
#[include = "img/*"]
struct Page;

/// Where the page says how people sign in: by a name, unless it is told otherwise.
const BY_NAME: &str = "<meta name=\"mqttchat-sign-in\" content=\"name\">";

/// What the page is told beside what is in its files.
#[derive(Clone, Debug)]
pub(crate) struct ByToken(Arc<str>);

impl ByToken {
    /// People come in by tokens only, of the server's own site or one of these, which show the page in a frame.
    pub(crate) fn of(sites: &[Origin]) -> Self {
        // An origin has nothing in it that means something in HTML.
        let sites = sources(sites);
        Self(
            format!("<meta name=\"mqttchat-sign-in\" content=\"token\" data-sites=\"{}\">", sites.trim())
                .into(),
        )
    }

    fn tell(&self, asset: Asset) -> Asset {
        let Ok(page) = std::str::from_utf8(&asset.bytes) else { return asset };
        let bytes = Bytes::from(page.replacen(BY_NAME, &self.0, 1));
        let tag = |_| entity_tag(&Sha256::digest(&bytes));
        Asset { etag: asset.etag.map(tag), bytes }
    }
}

fn entity_tag(hash: &[u8]) -> String {
    let hex: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// A file of the page.
struct Asset {
    bytes: Bytes,
    /// A strong entity tag, with its quotes; `None` where nothing is to be cached.
    etag: Option<String>,
}

impl Assets {
    /// Answers a request for a file of the page.
    pub(crate) async fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        by_token: Option<&ByToken>,
    ) -> Reply {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return method_not_allowed("GET, HEAD").into_response();
        }
        let name = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
        let asset = match content_type(name).filter(|_| belongs_to_page(name)) {
            Some(content_type) => self.load(name).await.map(|asset| (content_type, asset)),
            None => None,
        };
        match asset {
            Some((content_type, asset)) => {
                let asset = match by_token.filter(|_| name == "index.html") {
                    Some(by_token) => by_token.tell(asset),
                    None => asset,
                };
                asset.answer(content_type, headers)
            }
            None => not_found(),
        }
    }

    async fn load(&self, name: &str) -> Option<Asset> {
        match self {
            Self::Embedded => {
                let file = Page::get(name)?;
                let tag = entity_tag(&file.metadata.sha256_hash());
                let bytes = match file.data {
                    Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                    Cow::Owned(bytes) => bytes.into(),
                };
                Some(Asset { bytes, etag: Some(tag) })
            }
            Self::Directory(root) => {
                let (root, name) = (root.clone(), name.to_owned());
                let bytes = tokio::task::spawn_blocking(move || read_below(&root, &name)).await.ok()??;
                Some(Asset { bytes: bytes.into(), etag: None })
            }
        }
    }
}

/// Reads a file, unless a link leads out of the directory.
fn read_below(root: &Path, name: &str) -> Option<Vec<u8>> {
    let root = root.canonicalize().ok()?;
    let file = root.join(name).canonicalize().ok()?;
    (file.starts_with(&root) && file.is_file()).then(|| std::fs::read(file).ok())?
}

impl Asset {
    fn answer(self, content_type: &'static str, headers: &HeaderMap) -> Reply {
        let cached = self.etag.as_deref().is_some_and(|etag| is_cached(headers, etag));
        let mut response: Reply = Response::new(if cached { Bytes::new() } else { self.bytes }.into());
        if cached {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let caching = if self.etag.is_some() { "no-cache" } else { "no-store" };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(caching));
        if let Some(etag) = self.etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
            response.headers_mut().insert(ETAG, etag);
        }
        response
    }
}

/// `If-None-Match` compares weakly (RFC 9110 §13.1.2).
pub(crate) fn is_cached(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// Whether a path names something of the page: no hidden files, no `..`, nothing percent-encoded, none of the tests or
/// tools that lie beside it in a working directory.
fn belongs_to_page(name: &str) -> bool {
    let is_plain = |level: &str| {
        !level.is_empty()
            && !level.starts_with('.')
            && level.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    name.split('/').all(is_plain)
        && match name.split_once('/') {
            Some((folder, _)) => matches!(folder, "css" | "js" | "img"),
            None => matches!(name, "index.html" | "manifest.webmanifest") || name.starts_with("favicon."),
        }
}

fn content_type(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webp" => "image/webp",
        "ico" => "image/vnd.microsoft.icon",
        "woff2" => "font/woff2",
        _ => return None,
    })
}

fn not_found() -> Reply {
    const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
        <meta name=\"viewport\" content=\"width=device-width\"><title>Not found</title>\
        <p>There is nothing at this address; <a href=\"/\">the chat is here</a>.</p></html>\n";
    let mut response: Reply = Response::new(Bytes::from_static(PAGE.as_bytes()).into());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_is_served() {
        for good in
            ["index.html", "favicon.svg", "manifest.webmanifest", "js/app.js", "css/a/b.css", "img/x-1_2.png"]
        {
            assert!(belongs_to_page(good), "{good}");
        }
        for bad in [
            "package.json",
            "node_modules/x/index.js",
            "test/app.test.js",
            "js/../package.json",
            "js/..",
            "js//app.js",
            "js/.hidden.js",
            "js/%2e%2e/package.json",
            "js\\app.js",
            "js",
            "",
        ] {
            assert!(!belongs_to_page(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn the_page_is_told_how_one_signs_in() {
        let sites =
            ["https://shop.example", "http://127.0.0.1:8000"].map(|site| Origin::parse(site).unwrap());
        let page = Assets::Embedded.load("index.html").await.unwrap();
        assert_eq!(std::str::from_utf8(&page.bytes).unwrap().matches(BY_NAME).count(), 1);
        let before = page.etag.clone();
        let told = ByToken::of(&sites).tell(page);
        assert_ne!(told.etag, before);
        let text = std::str::from_utf8(&told.bytes).unwrap();
        assert!(!text.contains(BY_NAME));
        assert!(
            text.contains("content=\"token\" data-sites=\"https://shop.example http://127.0.0.1:8000\">")
        );
        assert!(ByToken::of(&[]).0.contains("data-sites=\"\">"));
    }

    #[test]
    fn entity_tags_are_compared_weakly() {
        let mut headers = HeaderMap::new();
        assert!(!is_cached(&headers, "\"a\""));
        headers.insert(IF_NONE_MATCH, "\"b\", W/\"a\"".parse().unwrap());
        assert!(is_cached(&headers, "\"a\""));
        assert!(!is_cached(&headers, "\"c\""));
        headers.insert(IF_NONE_MATCH, "*".parse().unwrap());
        assert!(is_cached(&headers, "\"c\""));
    }

    #[test]
    fn a_link_out_of_the_directory_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("static");
        std::fs::create_dir_all(root.join("js")).unwrap();
        std::fs::write(dir.path().join("secret.js"), "secret").unwrap();
        std::fs::write(root.join("js/app.js"), "app").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret.js"), root.join("js/out.js")).unwrap();
        assert_eq!(read_below(&root, "js/app.js"), Some(b"app".to_vec()));
        assert_eq!(read_below(&root, "js/out.js"), None);
        assert_eq!(read_below(&root, "js"), None);
        assert_eq!(read_below(&root, "js/none.js"), None);
    }
}

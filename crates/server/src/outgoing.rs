//! Requests of this server to others: over TLS where the address says so, trusting whom this machine trusts.

use std::error::Error;

use bytes::Bytes;
use hyper::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use warp::http::Uri;

/// A client that keeps a few connections.
pub(crate) type Client<B> = legacy::Client<HttpsConnector<HttpConnector>, B>;

/// A client for one address.
///
/// # Errors
/// When TLS can't be set up.
pub(crate) fn client<B>(url: &Uri) -> Result<Client<B>, rustls::Error>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let is_https = url.scheme_str() == Some("https");
    let tls = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(is_https))
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls);
    Ok(legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(8)
        .build(connector.https_or_http().enable_http1().build()))
}

/// Whom this machine trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` say otherwise.
fn roots(needed: bool) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    if !needed {
        return roots;
    }
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let error = found.errors.first().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(
            error,
            "this machine trusts no certificates: nobody can be reached by https; SSL_CERT_FILE can name some"
        );
    }
    roots
}

/// An error and all that is behind it, on one line.
pub(crate) fn whole_reason(error: &dyn Error) -> String {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        reason = format!("{reason}: {error}");
        source = error.source();
    }
    reason
}

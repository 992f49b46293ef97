//! A web site of somebody else.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A page: its content type and its text.
pub type Page = (&'static str, String);

/// A site that is reached as `localhost` and as `127.0.0.1`, which are different sites to browsers.
#[derive(Debug)]
pub struct Site {
    address: SocketAddr,
    listener: Option<TcpListener>,
    acceptor: Option<JoinHandle<()>>,
}

impl Site {
    /// Takes a port.
    ///
    /// # Errors
    /// When none is free.
    pub async fn bind() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self { address: listener.local_addr()?, listener: Some(listener), acceptor: None })
    }

    /// Its origin, by this name.
    #[must_use]
    pub fn origin(&self, host: &str) -> String {
        format!("http://{host}:{}", self.address.port())
    }

    /// Serves these pages, by their paths.
    pub fn serve(&mut self, pages: HashMap<&'static str, Page>) {
        let Some(listener) = self.listener.take() else { return };
        let pages = Arc::new(pages);
        self.acceptor = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let pages = Arc::clone(&pages);
                let answer = service_fn(move |request: Request<Incoming>| {
                    let response = response(pages.get(request.uri().path()));
                    async { Ok::<_, Infallible>(response) }
                });
                // A connection that breaks is the browser's concern.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        }));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(acceptor) = &self.acceptor {
            acceptor.abort();
        }
    }
}

fn response(page: Option<&Page>) -> Response<Full<Bytes>> {
    let (content_type, text) = page.cloned().unwrap_or(("text/plain", String::new()));
    let mut response = Response::new(Full::from(text));
    if page.is_none() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

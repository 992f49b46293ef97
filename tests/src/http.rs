//! One HTTP/1.1 request on one connection, with every header under the test's control.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::PATIENCE;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, read as UTF-8.
    pub body: String,
}

impl Response {
    /// A header's value, or nothing where it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Fetches a path with the headers that every client sends.
///
/// # Errors
/// When there is no answer within 30 s.
pub async fn get(address: SocketAddr, path: &str) -> Result<Response> {
    send(address, Request::get(path)).await
}

/// Sends a request with a body. A `Host` header is added where the request has none.
///
/// # Errors
/// When the request is malformed, or there is no answer within 30 s.
pub async fn send_with(
    address: SocketAddr,
    request: hyper::http::request::Builder,
    body: &str,
) -> Result<Response> {
    answer(address, request.body(Full::new(Bytes::copy_from_slice(body.as_bytes())))?, true).await
}

/// Sends a request without a body. A `Host` header is added where the request has none.
///
/// # Errors
/// When the request is malformed, or there is no answer within 30 s.
pub async fn send(address: SocketAddr, request: hyper::http::request::Builder) -> Result<Response> {
    answer(address, request.body(Full::default())?, true).await
}

/// Sends a request as [`send`] does, and doesn't wait for the body, which may never end.
///
/// # Errors
/// As [`send`].
pub async fn head(address: SocketAddr, request: hyper::http::request::Builder) -> Result<Response> {
    answer(address, request.body(Full::default())?, false).await
}

async fn answer(address: SocketAddr, mut request: Request<Full<Bytes>>, whole: bool) -> Result<Response> {
    if !request.headers().contains_key(HOST) {
        request.headers_mut().insert(HOST, address.to_string().parse()?);
    }
    let answer = async {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = if whole { response.into_body().collect().await?.to_bytes() } else { Bytes::new() };
        connection.abort();
        anyhow::Ok(Response { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    };
    tokio::time::timeout(PATIENCE, answer).await.context("no answer within 30 s")?
}

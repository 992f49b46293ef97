//! The web server of an application beside the chat, which answers as a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// What it answers a request with.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This status, content type and content.
    Content(u16, &'static str, Vec<u8>),
    /// That it is elsewhere.
    Redirect(String),
    /// Nothing, for ever.
    Nothing,
}

impl Answer {
    /// JSON.
    #[must_use]
    pub fn json(value: &serde_json::Value) -> Self {
        Self::Content(200, "application/json", value.to_string().into_bytes())
    }

    /// A page.
    #[must_use]
    pub fn page(html: &str) -> Self {
        Self::Content(200, "text/html; charset=utf-8", html.as_bytes().to_vec())
    }
}

/// A running one. It ends with this value.
#[derive(Debug)]
pub struct Application {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

impl Application {
    /// Starts one on a port that is free, which answers each path as `answer` says.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Result<Self> {
        Self::at(0, answer).await
    }

    /// Starts one on this port.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn at(port: u16, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (kept, answer) = (asked.clone(), Arc::new(answer));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, answer) = (kept.clone(), answer.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let path = request.uri().path().to_owned();
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
                    let answer = answer(&path);
                    async move { answer.respond().await }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(async move { server.serve_connection(TokioIo::new(stream), service).await });
            }
        });
        Ok(Self { address, asked, task: serving.abort_handle() })
    }

    /// Its origin, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The paths that it was asked for, in their order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Answer {
    async fn respond(self) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
        let response = Response::builder().header("cache-control", "no-store");
        match self {
            Self::Content(status, kind, content) => {
                response.status(status).header("content-type", kind).body(Full::from(content))
            }
            Self::Redirect(to) => response.status(302).header("location", to).body(Full::default()),
            Self::Nothing => std::future::pending().await,
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.task.abort();
    }
}

//! A service on a free port, and a client that speaks HTTP by hand: every chunk is seen as it came.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mqttchat_sockjs::{Options, Origins, Session, SockJs};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use warp::Filter;

/// Nothing here takes longer, but on a very busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A service at `/s`, served while this lives.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    served: JoinHandle<()>,
}

impl Site {
    pub(crate) async fn start<F, T>(options: Options, handler: F) -> Self
    where
        F: Fn(Session) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("0.0.0.0", 0)).await.unwrap();
        let address = ([127, 0, 0, 1], listener.local_addr().unwrap().port()).into();
        let routes = warp::path("s").and(SockJs::new(options, handler).filter());
        let served = tokio::spawn(warp::serve(routes).incoming(listener).run());
        Self { address, served }
    }

    pub(crate) async fn echo(options: Options) -> Self {
        Self::start(options, echo).await
    }

    pub(crate) async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        self.open_from(([127, 0, 0, 1]).into(), method, path, headers, body).await
    }

    /// Sends a request from an address, and reads the response's head.
    pub(crate) async fn open_from(
        &self,
        from: IpAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let mut request = format!("{method} /s{path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            request += &format!("host: {}\r\n", self.address);
        }
        if method == "POST" && !headers.iter().any(|(name, _)| *name == "content-length") {
            request += &format!("content-length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        request += body;
        let mut stream = BufReader::new(stream);
        // A server may answer, and close, before it has read a body.
        let _ = stream.write_all(request.as_bytes()).await;
        Response::read(stream).await
    }

    pub(crate) async fn get(&self, path: &str) -> Whole {
        self.open("GET", path, &[], "").await.whole().await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Whole {
        self.open("POST", path, &[], body).await.whole().await
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.served.abort();
    }
}

pub(crate) async fn echo(mut session: Session) {
    while let Some(text) = session.recv().await {
        session.send(text).await;
    }
}

/// Any origin, times as recommended.
pub(crate) fn open_to_all() -> Options {
    Options { origins: Origins::Any, ..Options::default() }
}

pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    stream: BufReader<TcpStream>,
    is_chunked: bool,
}

#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Response {
    async fn read(mut stream: BufReader<TcpStream>) -> Self {
        let read = async {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(
                    stream.read_line(&mut head).await.unwrap() > 0,
                    "the response ended in its head: {head}"
                );
            }
            head
        };
        let head = tokio::time::timeout(PATIENCE, read).await.unwrap();
        let status = head[9..12].parse().unwrap();
        let is_chunked = header(&head, "transfer-encoding") == Some("chunked");
        Self { status, head, stream, is_chunked }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The next chunk; `None` when the response is complete.
    pub(crate) async fn chunk(&mut self) -> Option<String> {
        assert!(self.is_chunked, "{}", self.head);
        let read = async {
            let mut line = String::new();
            self.stream.read_line(&mut line).await.unwrap();
            let len =
                usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("a length, not {line:?}"));
            let mut chunk = vec![0; len + 2];
            self.stream.read_exact(&mut chunk).await.unwrap();
            chunk.truncate(len);
            (len > 0).then(|| String::from_utf8(chunk).unwrap())
        };
        tokio::time::timeout(PATIENCE, read).await.expect("a chunk comes")
    }

    /// The body to its end.
    pub(crate) async fn whole(mut self) -> Whole {
        let mut body = String::new();
        if self.is_chunked {
            while let Some(chunk) = self.chunk().await {
                body += &chunk;
            }
        } else {
            let read = self.stream.read_to_string(&mut body);
            // The server may have closed with a body of ours unread.
            let _ = tokio::time::timeout(PATIENCE, read).await.unwrap();
        }
        Whole { status: self.status, head: self.head, body }
    }
}

impl Whole {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

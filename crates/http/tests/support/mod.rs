//! A whole HTTP side on a free port: real store, real bridge (its broker is away), real sockets.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use mqttchat_bridge::{Bridge, BridgeOptions, MqttOptions};
use mqttchat_http::{
    Assets, Bodies, Hosts, HttpOptions, ListenOptions, Listener, Origin, Origins, Security, SockJsOptions,
    app,
};
use mqttchat_protocol::{ApiSecret, DisplayName, Token, UserId};
use mqttchat_store::{ClaimOutcome, KeyOutcome, NewApiKey, Operator, Scopes, Store, StoreOptions};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Nothing here takes longer, but on a very busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The text limit of the served sessions, in bytes.
pub(crate) const FRAME_LIMIT: usize = 65_536;

pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
    store: Store,
    pub(crate) bridge: Bridge,
    data: TempDir,
}

/// What a site is started with.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) listen: ListenOptions,
    pub(crate) page: Option<TempDir>,
    pub(crate) security: Security,
    pub(crate) body_timeout: Option<Duration>,
    pub(crate) messages: Bodies,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions::sqlite(data.path())).await.unwrap();
        // Nobody answers on this port: it is bound by nobody, and in no range that is given out.
        let mqtt = MqttOptions { targets: vec![("127.0.0.1".to_owned(), 1)], ..MqttOptions::default() };
        let bridge =
            Bridge::start(store.clone(), BridgeOptions { mqtt, ..BridgeOptions::default() }).await.unwrap();
        let options = HttpOptions {
            bodies: Bodies::default(),
            messages: setup.messages,
            own: None,
            lab: false,
            security: setup.security,
            hosts: Hosts::new(["chat.example".to_owned()]),
            origins: Origins::new(vec![Origin::parse("https://intranet.example").unwrap()]),
            assets: setup
                .page
                .as_ref()
                .map_or(Assets::Embedded, |page| Assets::Directory(page.path().to_owned())),
            by_token: false,
            frame_limit: FRAME_LIMIT,
            body_timeout: setup.body_timeout.unwrap_or(PATIENCE),
            sockjs: Some(SockJsOptions {
                heartbeat: Duration::from_secs(25),
                disconnect_delay: Duration::from_secs(5),
                streaming_limit: 128 << 10,
                cookies: false,
                client_url: Some("/sockjs.min.js".to_owned()),
                sessions: 100,
                sessions_per_address: 100,
            }),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
        };
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), setup.listen).unwrap();
        let address = listener.local_addr();
        let (stop, stopped) = oneshot::channel();
        let app = app(bridge.clone(), options);
        let served = tokio::spawn(async move {
            let _page = setup.page;
            listener
                .serve(app, async {
                    let _ = stopped.await;
                })
                .await;
        });
        Self { address, stop: Some(stop), served, store, bridge, data }
    }

    /// Stops it, and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.stop.take();
        tokio::time::timeout(PATIENCE, self.served).await.unwrap().unwrap();
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request as it stands, and reads the response to its end.
    pub(crate) async fn raw(&self, request: &str) -> Response {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        Response::read(&mut stream).await
    }

    /// What an operator's command opens beside the running server.
    pub(crate) async fn operator(&self) -> Operator {
        Operator::open(StoreOptions::sqlite(self.data.path())).await.unwrap()
    }

    /// A new API key of this name.
    pub(crate) async fn key(&self, name: &str, scopes: &str) -> String {
        let (name, scopes) = (DisplayName::parse(name).unwrap(), Scopes::parse(scopes).unwrap());
        let new = NewApiKey { name, scopes, secret: ApiSecret::random() };
        let made = self.operator().await.create_apikey(&new).await.unwrap();
        assert!(matches!(made, KeyOutcome::Made(_)));
        new.secret.reveal()
    }

    /// Revokes it.
    pub(crate) async fn revoke(&self, name: &str) {
        assert!(self.operator().await.revoke_apikey(&DisplayName::parse(name).unwrap()).await.unwrap());
    }

    /// The token of a new user.
    pub(crate) async fn token(&self, name: &str) -> String {
        let name = DisplayName::parse(name).unwrap();
        let id = UserId::parse(&name.guest_id()).unwrap();
        let claimed = self.store.claim_user(&id, &name, "guest").await.unwrap();
        assert!(matches!(claimed, ClaimOutcome::Created(_)));
        Token { user: id, serial: 1 }.issue(&self.store.keyring())
    }

    /// A request without a body, after which the connection closes.
    pub(crate) async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        self.request_with(method, path, headers, "").await
    }

    /// A request, after which the connection closes.
    pub(crate) async fn request_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("content-length: {}\r\n", body.len());
        }
        self.raw(&(head + "\r\n" + body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[]).await
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Reads until the server closes.
    pub(crate) async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a response has a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head[9..12].parse().unwrap();
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// All values of a header.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// The page of a working directory, with what doesn't belong to it beside it.
pub(crate) fn working_directory() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path: &Path = &dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("index.html", "<!doctype html>first");
    write("js/app.js", "export {};");
    write("package.json", "{}");
    write("node_modules/x/index.js", "");
    write("test/app.test.js", "");
    dir
}

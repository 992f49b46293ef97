//! The page in a network that lets no WebSocket through.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use anyhow::Result;
use mqttchat_e2e::driver::Driver;
use mqttchat_e2e::{App, eventually};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A proxy that refuses every upgrade, as old ones do, until it is told otherwise.
struct Proxy {
    address: SocketAddr,
    upgrades: Arc<Upgrades>,
    acceptor: JoinHandle<()>,
}

#[derive(Default)]
struct Upgrades {
    welcome: AtomicBool,
    /// They are granted, and what they carry is dropped.
    swallowed: AtomicBool,
    refused: AtomicUsize,
    passed: AtomicUsize,
}

impl Proxy {
    async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let upgrades = Arc::<Upgrades>::default();
        let shared = Arc::clone(&upgrades);
        let acceptor = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A connection that breaks is the page's concern.
                tokio::spawn(pass(client, target, Arc::clone(&shared)));
            }
        });
        Ok(Self { address, upgrades, acceptor })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn refused(&self) -> usize {
        self.upgrades.refused.load(SeqCst)
    }

    fn passed(&self) -> usize {
        self.upgrades.passed.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// What a page is told when the machine has a network again.
const COMES_UP: &str = "window.dispatchEvent(new Event('online'))";

/// Passes a connection on, unless its first request wants to upgrade it and may not: browsers open one of its own for
/// that.
async fn pass(mut client: TcpStream, target: SocketAddr, upgrades: Arc<Upgrades>) -> Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    if String::from_utf8_lossy(&head).to_ascii_lowercase().contains("\r\nupgrade:") {
        if upgrades.swallowed.load(SeqCst) {
            upgrades.refused.fetch_add(1, SeqCst);
            return swallow(client, &head, target).await;
        }
        if !upgrades.welcome.load(SeqCst) {
            upgrades.refused.fetch_add(1, SeqCst);
            client
                .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await?;
            return Ok(());
        }
        upgrades.passed.fetch_add(1, SeqCst);
    }
    let mut server = TcpStream::connect(target).await?;
    server.write_all(&head).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// The server's answer to an upgrade, and nothing more either way.
async fn swallow(mut client: TcpStream, head: &[u8], target: SocketAddr) -> Result<()> {
    let mut server = TcpStream::connect(target).await?;
    server.write_all(head).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(server.read_u8().await?);
    }
    client.write_all(&answer).await?;
    tokio::io::copy(&mut client, &mut tokio::io::sink()).await?;
    Ok(())
}

#[tokio::test]
async fn the_page_falls_back_where_websockets_open_and_bring_nothing() -> Result<()> {
    let driver = Driver::start().await?;
    let app = App::start().await?;
    let proxy = Proxy::start(app.address()).await?;
    proxy.upgrades.swallowed.store(true, SeqCst);
    let ann = driver.browser().await?;
    ann.enter(&proxy.url(), "Ann").await?;
    assert_eq!(proxy.refused(), 1);
    ann.say("by another way").await?;
    ann.expect_accepted("by another way").await?;
    Ok(())
}

#[tokio::test]
async fn the_page_falls_back_where_upgrades_are_refused() -> Result<()> {
    let driver = Driver::start().await?;
    let app = App::start().await?;
    let proxy = Proxy::start(app.address()).await?;
    let ann = driver.browser().await?;
    let mut bob = app.member("Bob").await?;
    ann.enter(&proxy.url(), "Ann").await?;
    assert!(proxy.refused() > 0, "a WebSocket is tried first");
    bob.expect_where("that Ann has come", |frame| frame["data"]["joined"][0]["id"] == "ann").await?;
    for round in 0..3 {
        let text = format!("hello {round} 🎈");
        ann.say(&text).await?;
        ann.expect_accepted(&text).await?;
        assert_eq!(bob.expect_text(&text).await?["from"], "ann");
        let answer = format!("and back {round}");
        bob.say("public", &answer).await?;
        ann.expect_message(&answer).await?;
    }
    let tried = proxy.refused();
    ann.reload().await?;
    ann.expect_state("online").await?;
    ann.expect_message("and back 2").await?;
    assert!(proxy.refused() > tried, "a page that is opened anew tries again");
    Ok(())
}

#[tokio::test]
async fn the_page_comes_back_to_a_websocket_once_one_comes_through() -> Result<()> {
    let driver = Driver::start().await?;
    let app = App::start().await?;
    let proxy = Proxy::start(app.address()).await?;
    let ann = driver.browser().await?;
    let mut bob = app.member("Bob").await?;
    ann.enter(&proxy.url(), "Ann").await?;
    ann.run("window.neverLoadedAgain = true", &[]).await?;
    // A network that comes up is tried, and goes on being used as it was while it blocks as the last one did.
    let tried = proxy.refused();
    ann.run(COMES_UP, &[]).await?;
    eventually("a WebSocket to be tried", async || Ok((proxy.refused() > tried).then_some(()))).await?;

    // Both go on talking while the way changes: a WebSocket that shows that it comes through, and that of the session.
    let (mut rounds, mut more) = (0, 3);
    while more > 0 {
        proxy.upgrades.welcome.store(rounds >= 3, SeqCst);
        if rounds >= 3 && proxy.passed() == 0 {
            ann.run(COMES_UP, &[]).await?;
        }
        ann.say(&format!("ann {rounds}")).await?;
        bob.say("public", &format!("bob {rounds}")).await?;
        rounds += 1;
        more -= usize::from(proxy.passed() >= 2);
        assert!(rounds < 100, "no WebSocket by now: {} passed", proxy.passed());
    }
    for round in 0..rounds {
        ann.expect_accepted(&format!("ann {round}")).await?;
        ann.expect_message(&format!("bob {round}")).await?;
        bob.expect_text(&format!("ann {round}")).await?;
    }
    ann.expect_state("online").await?;
    let shown: Vec<_> = ann.messages().await?.into_iter().map(|message| json!(message.text)).collect();
    let log = app.user("Reader").await?.whole_history("public").await?;
    let stored: Vec<_> = log.into_iter().map(|message| message["data"]["text"].clone()).collect();
    assert_eq!(stored.len(), 2 * rounds, "nothing lost, nothing twice: {stored:?}");
    assert_eq!(shown, stored);
    assert_eq!(bob.seen_of("msg").len(), 2 * rounds);

    let passed = proxy.passed();
    ann.run("performance.clearResourceTimings()", &[]).await?;
    for text in ["by", "WebSocket"] {
        ann.say(text).await?;
        ann.expect_accepted(text).await?;
    }
    let requests =
        "return [window.neverLoadedAgain, performance.getEntriesByType('resource').map(e => e.name)]";
    assert_eq!(ann.run(requests, &[]).await?, json!([true, []]));
    assert_eq!(proxy.passed(), passed, "that WebSocket lasts");
    Ok(())
}

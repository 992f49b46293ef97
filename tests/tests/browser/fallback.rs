//! The page in a network that lets no WebSocket through.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use mqttchat_e2e::App;
use mqttchat_e2e::driver::Driver;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A proxy that refuses every upgrade, as old ones do.
struct Proxy {
    address: SocketAddr,
    refused: Arc<AtomicUsize>,
    acceptor: JoinHandle<()>,
}

impl Proxy {
    async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let refused = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&refused);
        let acceptor = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A connection that breaks is the page's concern.
                tokio::spawn(pass(client, target, Arc::clone(&count)));
            }
        });
        Ok(Self { address, refused, acceptor })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// Passes a connection on, unless its first request wants to upgrade it: browsers open one of its own for that.
async fn pass(mut client: TcpStream, target: SocketAddr, refused: Arc<AtomicUsize>) -> Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    if String::from_utf8_lossy(&head).to_ascii_lowercase().contains("\r\nupgrade:") {
        refused.fetch_add(1, Ordering::SeqCst);
        client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
        return Ok(());
    }
    let mut server = TcpStream::connect(target).await?;
    server.write_all(&head).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

#[tokio::test]
async fn the_page_falls_back_where_upgrades_are_refused() -> Result<()> {
    let driver = Driver::start().await?;
    let app = App::start().await?;
    let proxy = Proxy::start(app.address()).await?;
    let ann = driver.browser().await?;
    let mut bob = app.member("Bob").await?;
    ann.enter(&format!("http://{}", proxy.address), "Ann").await?;
    assert!(proxy.refused.load(Ordering::SeqCst) > 0, "a WebSocket is tried first");
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
    let tried = proxy.refused.load(Ordering::SeqCst);
    ann.reload().await?;
    ann.expect_state("online").await?;
    ann.expect_message("and back 2").await?;
    assert!(proxy.refused.load(Ordering::SeqCst) > tried, "a page that is opened anew tries again");
    Ok(())
}

//! The services that SockJS's own test suite asks for, for pages of any origin.
//!
//! `cargo run -p mqttchat-sockjs --example echo_server -- --port 8081 [--client-url URL]`

#![allow(clippy::print_stdout, reason = "it is a command")]

use std::error::Error;

use mqttchat_sockjs::{Options, Origins, Session, SockJs, WebSockets};
use warp::Filter;

async fn echo(mut session: Session) {
    while let Some(text) = session.recv().await {
        session.send(text).await;
    }
}

async fn close(mut session: Session) {
    session.close(3000, "Go away!").await;
}

/// On one thread, since the suite expects that what it sent has been answered when it makes its next request.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut port, mut client_url) = (8081, "/sockjs.min.js".to_owned());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--port", Some(value)) => port = value.parse()?,
            ("--client-url", Some(value)) => client_url = value,
            _ => return Err("usage: echo_server [--port N] [--client-url URL]".into()),
        }
    }
    let options = Options {
        origins: Origins::Any,
        client_url: Some(client_url),
        frame_ancestors: "*".to_owned(),
        ..Options::default()
    };
    let service = |options| SockJs::new(options, echo).filter();
    let routes = warp::path("echo")
        .and(service(Options { streaming_limit: 4096, ..options.clone() }))
        .or(warp::path("disabled_websocket_echo")
            .and(service(Options { websockets: WebSockets::Off, ..options.clone() })))
        .unify()
        .or(warp::path("cookie_needed_echo").and(service(Options { cookies: true, ..options.clone() })))
        .unify()
        .or(warp::path("close").and(SockJs::new(options, close).filter()))
        .unify();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}", listener.local_addr()?);
    warp::serve(routes).incoming(listener).run().await;
    Ok(())
}

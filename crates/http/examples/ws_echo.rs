//! Echoes every message, through the very upgrade and frame code of `/ws`: for the Autobahn test suite.
//!
//! `cargo run -p mqttchat-http --example ws_echo -- --port 9001`

#![allow(clippy::print_stdout, reason = "it is a command")]

use std::convert::Infallible;
use std::error::Error;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use mqttchat_http::ws::{Kind, Message, MessageLimits, Step, WebSocket, frame};
use mqttchat_http::{Bodies, Connection, ListenOptions, Listener, upgrade};

/// The largest message, in bytes: what the test suite's performance cases send.
const LIMITS: MessageLimits = MessageLimits { text: 16 << 20, binary: 16 << 20 };

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => 9001,
        ["--port", port] => port.parse()?,
        _ => return Err("usage: ws_echo [--port N]".into()),
    };
    let listener = Listener::bind(([127, 0, 0, 1], port).into(), ListenOptions::default())?;
    println!("echoing at ws://{}", listener.local_addr());
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    listener.serve(service_fn(|request| async { Ok::<_, Infallible>(answer(request)) }), stop).await;
    Ok(())
}

fn answer(mut request: Request<Incoming>) -> warp::reply::Response {
    let pending = request.extensions_mut().remove::<OnUpgrade>();
    match upgrade(request.method(), request.headers(), pending) {
        Ok((response, upgraded)) => {
            tokio::spawn(async move {
                if let Ok((stream, early)) = upgraded.finish().await {
                    echo(WebSocket::new(stream, early, LIMITS, Bodies::new(usize::MAX))).await;
                }
            });
            response
        }
        Err(problem) => problem.into_response(),
    }
}

async fn echo(mut socket: WebSocket<Connection>) {
    loop {
        // A client that doesn't read what it is sent has to stop sending.
        let read = socket.backlog() < LIMITS.text;
        match socket.step(read).await {
            Step::Message(Message::Text(text)) => socket.feed_bytes(frame(Kind::Text, text.as_bytes())),
            Step::Message(Message::Binary(bytes)) => socket.feed_bytes(frame(Kind::Binary, &bytes)),
            Step::Message(_) => return socket.close(1009, "a message may have 16 MiB").await,
            Step::Drained => {}
            Step::Closed => return,
        }
    }
}

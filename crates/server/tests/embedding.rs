//! A server inside another program.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail tests")]

use std::path::PathBuf;

use clap::Parser;
use mqttchat::{Cli, Config, Layers, Server, StartError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

fn config(data: &TempDir) -> Config {
    let arguments =
        ["mqttchat".into(), "--port".into(), "0".into(), "--data".into(), PathBuf::from(data.path())];
    let layers = Layers::read(&Cli::try_parse_from(arguments).unwrap().flags, []).unwrap();
    Config::check(&layers, None).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_side_by_side_one_stopped_and_started_again() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (first, second) =
        (Server::bind(config(&one)).await.unwrap(), Server::bind(config(&two)).await.unwrap());
    let (address, other) = (first.local_addr(), second.local_addr());
    let (stop_first, first_stopped) = oneshot::channel::<()>();
    let (stop_second, second_stopped) = oneshot::channel::<()>();
    let first = tokio::spawn(first.run(async { drop(first_stopped.await) }));
    let second = tokio::spawn(second.run(async { drop(second_stopped.await) }));
    for address in [address, other] {
        assert!(ready(address).await.starts_with("HTTP/1.1 200 "));
    }
    assert!(matches!(Server::bind(config(&two)).await, Err(StartError::Store { .. })));
    drop(stop_first);
    first.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    assert!(ready(other).await.starts_with("HTTP/1.1 200 "));

    let again = Server::bind(config(&one)).await.unwrap();
    again.run(async {}).await.unwrap();
    drop(stop_second);
    second.await.unwrap().unwrap();
}

async fn ready(address: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

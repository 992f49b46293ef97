//! The sockets that are open are exactly those configured.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result};
use mqttchat_e2e::https::Certificate;
use mqttchat_e2e::port::Port;
use mqttchat_e2e::{App, Mosquitto};

/// Where a process listens, by TCP or UDP.
fn listening(process: u32) -> Result<BTreeSet<SocketAddr>> {
    let mut own = BTreeSet::new();
    for file in fs::read_dir(format!("/proc/{process}/fd"))? {
        // One that is closed meanwhile is no listener.
        let Ok(target) = fs::read_link(file?.path()) else { continue };
        let inode = target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'));
        own.extend(inode.map(str::to_owned));
    }
    let mut found = BTreeSet::new();
    // 0A is listening; a UDP socket that takes what comes is 07.
    for (table, state) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")] {
        let lines = fs::read_to_string(format!("/proc/{process}/net/{table}"))?;
        for line in lines.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields.get(3) == Some(&state) && fields.get(9).is_some_and(|inode| own.contains(*inode)) {
                found.insert(address(fields[1]).context("no address")?);
            }
        }
    }
    Ok(found)
}

/// An address as the kernel writes it: words of the machine's own byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let words = (0..host.len() / 8).map(|at| u32::from_str_radix(&host[at * 8..at * 8 + 8], 16).ok());
    let bytes: Vec<u8> =
        words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip: IpAddr = match bytes.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into(),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[tokio::test]
async fn with_a_broker_elsewhere_there_is_the_page_alone() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let app = App::builder().broker(&broker.url()).start().await?;
    let mut ann = app.member("Ann").await?;
    ann.say("public", "hello").await?;
    assert_eq!(listening(app.process_id()?)?, BTreeSet::from([app.address()]));
    Ok(())
}

#[tokio::test]
async fn with_everything_on_there_is_nothing_else() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (certificate, port) = (Certificate::make()?, Port::reserve()?);
    let redirect = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port.number());
    let app = App::builder()
        .broker(&broker.url())
        .args(certificate.args())
        .args(["--tls-redirect", &redirect.to_string()])
        .start()
        .await?;
    assert_eq!(listening(app.process_id()?)?, BTreeSet::from([app.address(), redirect]));
    Ok(())
}

#[tokio::test]
async fn the_broker_inside_is_for_this_machine_unless_it_is_opened() -> Result<()> {
    let app = App::start().await?;
    let mut found = listening(app.process_id()?)?;
    assert!(found.remove(&app.address()), "{found:?}");
    assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");

    let port = Port::reserve()?;
    let open = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port.number());
    let app = App::builder().args(["--broker-listen", &open.to_string()]).start().await?;
    let mut found = listening(app.process_id()?)?;
    assert!(found.remove(&app.address()) && found.remove(&open), "{found:?}");
    assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
    Ok(())
}

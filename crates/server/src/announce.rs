//! What is printed when the server is ready.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use mqttchat::{ChatServer, lan};

/// The ready line, and behind it how others get in.
pub(crate) fn ready(server: &ChatServer, on_lan: bool) -> String {
    let mut text = format!("mqttchat is ready at {}\n", server.url());
    if on_lan {
        network(&mut text, server.scheme(), server.address().port());
    }
    if let Some((address, login)) = server.devices() {
        devices(&mut text, address, login);
    }
    text
}

// Writing to a string can't fail.
fn network(text: &mut String, scheme: &str, port: u16) {
    let Some(address) = lan::address() else {
        text.push_str("this machine has no address on a local network\n");
        return;
    };
    let url = format!("{scheme}://{}", SocketAddr::new(address, port));
    let _ = writeln!(text, "on this network: {url}");
    if let Some(code) = lan::qr_code(&url) {
        let _ = writeln!(text, "{code}");
    }
}

fn devices(text: &mut String, address: SocketAddr, login: Option<(&str, &str)>) {
    let host = if address.ip().is_unspecified() {
        lan::address().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST))
    } else {
        address.ip()
    };
    let login = login.map(|(user, password)| format!(" -u {user} -P {password}")).unwrap_or_default();
    let _ = writeln!(
        text,
        "for devices: mosquitto_pub -h {host} -p {}{login} -t public/msgs -m 'hello'",
        address.port()
    );
}

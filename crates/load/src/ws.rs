//! The client's side of WebSocket framing (RFC 6455): as little as a load generator needs, on byte slices.

use anyhow::{Context, Result, bail, ensure};

/// The example of RFC 6455 §1.3, key and answer: the handshake proves that a WebSocket server answers, and no more.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ANSWER: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Frames longer than this are no answer to anything that was asked.
const LONGEST: usize = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

/// A frame at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WsFrame<'a> {
    pub(crate) last: bool,
    pub(crate) opcode: Opcode,
    pub(crate) payload: &'a [u8],
    /// Bytes of the frame, header and all.
    pub(crate) length: usize,
}

/// The request that opens a WebSocket, as the server's own page does.
pub(crate) fn handshake(host: &str, path: &str, protocol: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    )
    .into_bytes()
}

/// Where the answer to [`handshake`] ends, once all of it is there.
pub(crate) fn upgraded(answer: &[u8]) -> Result<Option<usize>> {
    ensure!(answer.len() < 16_384, "the answer to the upgrade has no end");
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..end]).context("the answer to the upgrade is no text")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.starts_with("HTTP/1.1 101"), "the upgrade was answered with: {status}");
    let accepted = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == ANSWER);
    ensure!(accepted, "the upgrade was answered without the right Sec-WebSocket-Accept");
    Ok(Some(end + 4))
}

/// The frame at the start of `bytes`; `None` until all of it is there.
pub(crate) fn frame(bytes: &[u8]) -> Result<Option<WsFrame<'_>>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let opcode = match first & 0x0f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        other => bail!("the server sent a frame of unknown opcode {other}"),
    };
    ensure!(second & 0x80 == 0, "the server sent a masked frame");
    let (header, payload) = match second & 0x7f {
        126 => match rest.first_chunk::<2>() {
            Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (10, usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX)),
            None => return Ok(None),
        },
        short => (2, usize::from(short)),
    };
    ensure!(payload <= LONGEST, "the server sent a frame of {payload} bytes");
    let length = header + payload;
    let Some(payload) = bytes.get(header..length) else { return Ok(None) };
    Ok(Some(WsFrame { last: first & 0x80 != 0, opcode, payload, length }))
}

/// Appends a whole, masked frame.
pub(crate) fn push(out: &mut Vec<u8>, opcode: Opcode, mask: [u8; 4], payload: &[u8]) {
    let opcode = match opcode {
        Opcode::Continuation => 0,
        Opcode::Text => 1,
        Opcode::Binary => 2,
        Opcode::Close => 8,
        Opcode::Ping => 9,
        Opcode::Pong => 10,
    };
    out.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ 0..126), _) => out.push(0x80 | short),
        (_, Ok(middle)) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_there_only_when_all_of_it_is() {
        for size in [0_usize, 1, 125, 126, 65_535, 65_536] {
            let mut bytes = vec![0x81];
            match size {
                0..126 => bytes.push(size as u8),
                126..65_536 => {
                    bytes.push(126);
                    bytes.extend((size as u16).to_be_bytes());
                }
                _ => {
                    bytes.push(127);
                    bytes.extend((size as u64).to_be_bytes());
                }
            }
            bytes.resize(bytes.len() + size, b'x');
            let whole = bytes.len();
            bytes.extend(b"next");
            for cut in [0, 1, 2, 3, whole - 1].into_iter().filter(|cut| *cut < whole) {
                assert_eq!(frame(&bytes[..cut]).unwrap(), None, "{size} {cut}");
            }
            let found = frame(&bytes).unwrap().unwrap();
            assert_eq!((found.length, found.payload.len(), found.last), (whole, size, true));
        }
        assert!(frame(&[0x81, 0x80]).is_err(), "servers don't mask");
        assert!(frame(&[0x83, 0]).is_err(), "no such opcode");
    }

    #[test]
    fn what_is_sent_is_masked() {
        for size in [5_usize, 126, 70_000] {
            let mut out = Vec::new();
            let payload = vec![b'a'; size];
            push(&mut out, Opcode::Text, [1, 2, 3, 4], &payload);
            let header = out.len() - size;
            assert_eq!(out[header - 4..header], [1, 2, 3, 4]);
            assert_eq!(out[header..header + 5], [b'a' ^ 1, b'a' ^ 2, b'a' ^ 3, b'a' ^ 4, b'a' ^ 1]);
            assert_eq!(out[1] & 0x80, 0x80);
        }
    }

    #[test]
    fn an_upgrade_must_be_one() {
        let good = format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {ANSWER}\r\n\r\nrest");
        assert_eq!(upgraded(good.as_bytes()).unwrap(), Some(good.len() - 4));
        assert_eq!(upgraded(&good.as_bytes()[..good.len() - 5]).unwrap(), None);
        assert!(upgraded(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").is_err());
        assert!(upgraded(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
    }
}

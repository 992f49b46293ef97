//! The first packet of a device.

use std::io;

use bytes::BytesMut;
use rumqttd::protocol::v4::V4;
use rumqttd::protocol::{ConnAck, Connect, ConnectReturnCode, Error, LastWill, Login, Packet, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::credentials::Credentials;
use crate::gate::Gate;
use crate::gate::guard::check_topic;

/// The gate counts keep-alive itself, so towards rumqttd it is as long as can be: rumqttd refuses 0, and must not be the
/// first to close, because a Last Will would be lost.
const LONGEST_KEEP_ALIVE: u16 = u16::MAX;

/// Why a socket does not become a device.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoHello {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("no valid connect packet: {0}")]
    Malformed(#[from] Error),
    #[error("the first packet is not a connect")]
    NotConnect,
    /// Refused, and told so with this code.
    #[error("refused: {0:?}")]
    Refused(ConnectReturnCode),
}

/// A device that may come in.
pub(crate) struct Hello {
    pub(crate) client_id: String,
    pub(crate) clean_session: bool,
    /// Seconds; 0 for none.
    pub(crate) keep_alive: u16,
    pub(crate) will: Option<LastWill>,
}

impl Hello {
    /// Reads the CONNECT. What came after it stays in `received`.
    pub(crate) async fn receive(
        gate: &Gate,
        stream: &mut TcpStream,
        received: &mut BytesMut,
    ) -> Result<Self, NoHello> {
        let packet = loop {
            match V4.read_mut(received, gate.max_packet) {
                Ok(packet) => break packet,
                Err(Error::InsufficientBytes(_)) => {}
                Err(Error::InvalidProtocol | Error::InvalidProtocolLevel(_)) => {
                    return Err(NoHello::Refused(ConnectReturnCode::RefusedProtocolVersion));
                }
                Err(error) => return Err(error.into()),
            }
            if stream.read_buf(received).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        };
        let Packet::Connect(connect, _, will, _, login) = packet else {
            return Err(NoHello::NotConnect);
        };
        gate.logins.check(login.as_ref()).map_err(NoHello::Refused)?;
        if connect.client_id.is_empty() && !connect.clean_session {
            return Err(NoHello::Refused(ConnectReturnCode::ClientIdentifierNotValid));
        }
        if let Some(will) = &will {
            check_topic(&will.topic, &gate.names)
                .map_err(|_| NoHello::Refused(ConnectReturnCode::NotAuthorized))?;
        }
        Ok(Self {
            client_id: connect.client_id,
            clean_session: connect.clean_session,
            keep_alive: connect.keep_alive,
            will,
        })
    }

    /// The CONNECT that rumqttd gets to see: our id, our login, no Last Will.
    pub(crate) fn for_broker(&self, slot: usize, credentials: &Credentials) -> Result<BytesMut, Error> {
        let connect = Connect {
            keep_alive: LONGEST_KEEP_ALIVE,
            client_id: format!("broker-device-{slot}"),
            clean_session: self.clean_session,
        };
        let login = Login { username: credentials.user.clone(), password: credentials.password.clone() };
        let mut bytes = BytesMut::new();
        V4.write(Packet::Connect(connect, None, None, None, Some(login)), &mut bytes)?;
        Ok(bytes)
    }
}

/// Tells a device why not.
pub(crate) async fn refuse(stream: &mut TcpStream, code: ConnectReturnCode) -> io::Result<()> {
    let mut bytes = BytesMut::new();
    let answer = Packet::ConnAck(ConnAck { session_present: false, code }, None);
    if V4.write(answer, &mut bytes).is_ok() {
        stream.write_all(&bytes).await?;
    }
    stream.shutdown().await
}

//! Asking a listener whether it still lets clients in.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use rumqttd::protocol::v4::V4;
use rumqttd::protocol::{Connect, ConnectReturnCode, Login, Packet, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time;

use crate::credentials::Credentials;

/// The largest answer that is waited for; a CONNACK has 4 bytes.
const MAX_ANSWER: usize = 64;

/// Why a listener is not well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// Nobody listens, or the connection broke.
    #[error("no connection: {0}")]
    Connection(#[from] io::Error),
    /// The socket was closed instead of a CONNACK: a poisoned listener, a full router, or a wrong password.
    #[error("the connection was closed without an answer")]
    Closed,
    /// A CONNACK that refuses.
    #[error("refused: {0:?}")]
    Refused(ConnectReturnCode),
    /// Something that is no CONNACK.
    #[error("an answer that is not a connack")]
    Garbage,
    /// The router has ended, so there is no point in waiting for an answer.
    #[error("the router has ended")]
    NoRouter,
    /// No answer in time: perhaps only busy.
    #[error("no answer within {} ms", .0.as_millis())]
    Silent(Duration),
}

/// One way to knock at a listener: always the same client id, so that rumqttd, which remembers every id, forgets
/// nothing and learns nothing. A probe must not be used twice at a time.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    client_id: String,
    credentials: Credentials,
}

impl Probe {
    /// `client_id` has to be this probe's own.
    pub(crate) fn new(client_id: String, credentials: Credentials) -> Self {
        Self { client_id, credentials }
    }

    /// Connects, waits for the CONNACK and leaves. Cancel safe.
    ///
    /// # Errors
    /// Anything but a CONNACK that lets the probe in, within `limit`.
    pub(crate) async fn run(&self, address: SocketAddr, limit: Duration) -> Result<(), ProbeError> {
        match time::timeout(limit, self.knock(address)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(ProbeError::Silent(limit)),
        }
    }

    async fn knock(&self, address: SocketAddr) -> Result<(), ProbeError> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&self.connect_packet()?).await?;
        let mut answer = BytesMut::with_capacity(MAX_ANSWER);
        loop {
            match V4.read_mut(&mut answer, MAX_ANSWER) {
                Ok(Packet::ConnAck(ack, _)) if ack.code == ConnectReturnCode::Success => break,
                Ok(Packet::ConnAck(ack, _)) => return Err(ProbeError::Refused(ack.code)),
                Ok(_) => return Err(ProbeError::Garbage),
                Err(rumqttd::protocol::Error::InsufficientBytes(_)) => {}
                Err(_) => return Err(ProbeError::Garbage),
            }
            match stream.read_buf(&mut answer).await {
                Ok(0) => return Err(ProbeError::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(ProbeError::Closed);
                }
                Err(error) => return Err(error.into()),
            }
        }
        // An end of the stream without a DISCONNECT: see `Session::finish` in the gate.
        stream.shutdown().await?;
        Ok(())
    }

    fn connect_packet(&self) -> Result<BytesMut, ProbeError> {
        let connect = Connect { keep_alive: 30, client_id: self.client_id.clone(), clean_session: true };
        let login =
            Login { username: self.credentials.user.clone(), password: self.credentials.password.clone() };
        let mut bytes = BytesMut::new();
        V4.write(Packet::Connect(connect, None, None, None, Some(login)), &mut bytes)
            .map_err(|_| ProbeError::Garbage)?;
        Ok(bytes)
    }
}

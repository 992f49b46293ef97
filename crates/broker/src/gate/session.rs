//! One device, from its CONNECT to its end.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use rumqttd::protocol::v4::V4;
use rumqttd::protocol::{ConnectReturnCode, LastWill, Packet, Protocol, Publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{self, timeout};
use tracing::{debug, warn};

use crate::gate::Gate;
use crate::gate::guard::{Guard, Offence};
use crate::gate::hello::{Hello, NoHello, refuse};
use crate::gate::pump::{self, Inbound};
use crate::gate::slots::{Full, Place};

/// Bytes in a CONNACK of MQTT 3.1.1.
const CONNACK: usize = 4;
/// How long rumqttd may take to answer, and to let go.
const BROKER_PATIENCE: Duration = Duration::from_secs(5);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("{0}")]
    NoHello(#[from] NoHello),
    #[error("no connect packet in time")]
    Slow,
    #[error(transparent)]
    Full(#[from] Full),
    #[error("it took its leave")]
    Left,
    #[error("its connection ended: {0}")]
    Lost(io::Error),
    #[error("nothing was heard of it for one and a half times its keep-alive")]
    Silent,
    #[error("another connection uses its client id")]
    Replaced,
    #[error(transparent)]
    Offence(#[from] Offence),
    #[error("the broker closed the connection")]
    Broker,
}

/// Serves one socket; returns why it ended.
pub(crate) async fn serve(gate: &Gate, mut device: TcpStream) -> Result<(), End> {
    device.set_nodelay(true).map_err(End::Lost)?;
    let mut received = BytesMut::new();
    let arrival = async {
        let hello = Hello::receive(gate, &mut device, &mut received).await?;
        let place = gate.slots.enter(&hello.client_id, hello.clean_session).await?;
        Ok::<_, End>((hello, place))
    };
    let (hello, place) = match time::timeout(gate.connect_within, arrival).await {
        Ok(Ok(arrived)) => arrived,
        Ok(Err(end)) => {
            let code = match &end {
                End::NoHello(NoHello::Refused(code)) => *code,
                End::Full(_) => ConnectReturnCode::ServiceUnavailable,
                _ => return Err(end),
            };
            refuse(&mut device, code).await.map_err(End::Lost)?;
            return Err(end);
        }
        Err(_elapsed) => return Err(End::Slow),
    };
    let Some(broker) = introduce(gate, &hello, &place, &mut device).await.map_err(End::Lost)? else {
        refuse(&mut device, ConnectReturnCode::ServiceUnavailable).await.map_err(End::Lost)?;
        return Err(End::Broker);
    };
    let mut session =
        Session { device, broker, received, unsent: BytesMut::new(), guard: Guard::new(&gate.names) };
    let end = session.run(gate, &hello, &place).await;
    if let End::Offence(offence) = &end {
        warn!(%offence, "a device was thrown out");
    }
    session.finish(&end, hello.will).await;
    // Only now is the number free: rumqttd has let go of the one that had it.
    drop(place);
    Err(end)
}

/// Connects to rumqttd and passes its CONNACK on. `None` if rumqttd takes nobody.
async fn introduce(
    gate: &Gate,
    hello: &Hello,
    place: &Place<'_>,
    device: &mut TcpStream,
) -> io::Result<Option<TcpStream>> {
    let answer = timeout(BROKER_PATIENCE, async {
        let mut broker = TcpStream::connect(gate.broker).await?;
        broker.set_nodelay(true)?;
        let connect = hello.for_broker(place.number(), &gate.credentials).map_err(io::Error::other)?;
        broker.write_all(&connect).await?;
        let mut connack = [0; CONNACK];
        broker.read_exact(&mut connack).await?;
        io::Result::Ok((broker, connack))
    });
    match answer.await {
        Ok(Ok((broker, connack))) => {
            device.write_all(&connack).await?;
            Ok(Some(broker))
        }
        Ok(Err(error)) => {
            debug!(%error, "the device listener takes nobody");
            Ok(None)
        }
        Err(_elapsed) => Ok(None),
    }
}

/// Both sockets of a device.
struct Session<'a> {
    device: TcpStream,
    broker: TcpStream,
    received: BytesMut,
    /// Whole packets that passed the guard and are not, or only in part, with rumqttd yet.
    unsent: BytesMut,
    guard: Guard<'a>,
}

impl Session<'_> {
    async fn run(&mut self, gate: &Gate, hello: &Hello, place: &Place<'_>) -> End {
        let (device_in, mut device_out) = self.device.split();
        let (mut broker_in, broker_out) = self.broker.split();
        let inbound = Inbound {
            device: device_in,
            broker: broker_out,
            received: &mut self.received,
            unsent: &mut self.unsent,
            guard: &mut self.guard,
            max_packet: gate.max_packet,
            silence: pump::silence(hello.keep_alive),
        };
        tokio::select! {
            end = inbound.run() => end,
            end = pump::outbound(&mut broker_in, &mut device_out) => end,
            () = place.replaced() => End::Replaced,
        }
    }

    /// Hands rumqttd what is left, publishes the Last Will unless the device took its leave, and waits until rumqttd has
    /// closed its side.
    ///
    /// rumqttd is told by the end of the stream, never by DISCONNECT: if its router handles that while the
    /// connection is being told that its queue was full, the router ends. And the socket is not dropped before
    /// rumqttd has closed, because a reset while it connects would leave a dead entry for this id behind.
    async fn finish(mut self, end: &End, will: Option<LastWill>) {
        drop(self.device);
        if matches!(end, End::Broker) {
            return;
        }
        if let Some(will) = will.filter(|_| !matches!(end, End::Left)) {
            // QoS 0 on the way to rumqttd; subscribers get it with the QoS they asked for.
            let publish = Publish::new(will.topic, will.message, will.retain);
            if let Err(error) = V4.write(Packet::Publish(publish, None), &mut self.unsent) {
                debug!(%error, "a last will cannot be written");
            }
        }
        let farewell = async {
            self.broker.write_all(&self.unsent).await?;
            self.broker.shutdown().await?;
            let mut rest = [0; 1024];
            while self.broker.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        match timeout(BROKER_PATIENCE, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "the broker closed first"),
            Err(_elapsed) => warn!("the broker does not let go of a device that has left"),
        }
    }
}

//! Moving packets between a device and rumqttd.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use rumqttd::protocol::Error;
use rumqttd::protocol::v4::check;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time;

use crate::gate::guard::{Guard, Offence, Verdict};
use crate::gate::session::End;

/// Room made in a buffer before a read.
const READ: usize = 4096;

/// From a device to rumqttd, packet by packet.
pub(crate) struct Inbound<'a, 'names> {
    pub(crate) device: ReadHalf<'a>,
    pub(crate) broker: WriteHalf<'a>,
    pub(crate) received: &'a mut BytesMut,
    pub(crate) unsent: &'a mut BytesMut,
    pub(crate) guard: &'a mut Guard<'names>,
    pub(crate) max_packet: usize,
    /// How long a device may say nothing.
    pub(crate) silence: Option<Duration>,
}

impl Inbound<'_, '_> {
    /// Runs until the device is gone, or has to go. Cancel safe: nothing that was read is lost.
    pub(crate) async fn run(mut self) -> End {
        loop {
            match self.sort() {
                Ok(Verdict::Forward) => {}
                Ok(Verdict::Leave) => return End::Left,
                Err(offence) => return offence.into(),
            }
            while !self.unsent.is_empty() {
                if self.broker.write_buf(self.unsent).await.is_err() {
                    return End::Broker;
                }
            }
            match self.read().await {
                Ok(0) => return End::Lost(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return End::Silent,
                Err(error) => return End::Lost(error),
            }
        }
    }

    /// Moves whole packets that may pass from `received` to `unsent`.
    fn sort(&mut self) -> Result<Verdict, Offence> {
        loop {
            let length = match check(self.received.iter(), self.max_packet) {
                Ok(header) => header.frame_length(),
                Err(Error::InsufficientBytes(_)) => return Ok(Verdict::Forward),
                Err(error) => return Err(error.into()),
            };
            let packet = self.received.split_to(length);
            if self.guard.judge(packet.clone())? == Verdict::Leave {
                return Ok(Verdict::Leave);
            }
            self.unsent.unsplit(packet);
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        self.received.reserve(READ);
        let read = self.device.read_buf(self.received);
        match self.silence {
            Some(silence) => time::timeout(silence, read).await?,
            None => read.await,
        }
    }
}

/// From rumqttd to a device, as it comes.
pub(crate) async fn outbound(broker: &mut ReadHalf<'_>, device: &mut WriteHalf<'_>) -> End {
    let mut bytes = BytesMut::new();
    loop {
        bytes.reserve(READ);
        match broker.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return End::Broker,
            Ok(_) => {}
        }
        if let Err(error) = device.write_all_buf(&mut bytes).await {
            return End::Lost(error);
        }
    }
}

/// One and a half times the keep-alive (MQTT 3.1.1, 3.1.2.10).
pub(crate) fn silence(keep_alive: u16) -> Option<Duration> {
    (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1500))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keep_alive_of_0_is_none() {
        assert_eq!(silence(0), None);
        assert_eq!(silence(2), Some(Duration::from_secs(3)));
    }
}

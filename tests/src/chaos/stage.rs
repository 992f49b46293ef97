//! What a run plays on: the servers, the broker, and the proxies before them.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::clock::Clock;
use super::device::{Identity, Orders};
use super::disk::Disk;
use super::fault::{Fault, Planned};
use super::history::What;
use super::liar::{Liar, Lie};
use super::proxy::{Every, Proxy, Weather};
use super::read_only::ReadOnly;
use super::recorder::Recorder;
use crate::mqtt::Access;
use crate::port::Port;
use crate::{App, Mosquitto, User};

/// How much later something comes that is delayed.
const DELAY: Duration = Duration::from_millis(150);
/// Sessions that come beside everybody else's in a storm.
const STORM: usize = 60;

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Configuration {
    /// One server with the broker inside it.
    Embedded,
    /// One server and a Mosquitto.
    Mosquitto,
    /// As [`Configuration::Embedded`], on a disk that can be full and with a clock that can be set.
    Machine,
    /// So many servers on one PostgreSQL and one Mosquitto.
    Nodes(usize),
}

/// A PostgreSQL that can be ended and started again. What it has committed, it keeps.
pub trait Database: fmt::Debug + Send + Sync {
    /// Where it is, as `--database` takes it.
    fn url(&self) -> String;
    /// Ends it: without a goodbye, or in the orderly way.
    fn end(&self, orderly: bool);
    /// Starts it again.
    fn start_again(&self);
    /// Lets it be read only, or written again.
    fn set_read_only(&self, read_only: bool);
}

impl Configuration {
    /// Everything that can break in it.
    #[must_use]
    pub fn faults(self, devices: usize) -> Vec<Fault> {
        if self == Self::Machine {
            return Self::faults_of_machine();
        }
        let servers = if let Self::Nodes(servers) = self { servers } else { 1 };
        let each =
            |server| [Fault::KillServer(server), Fault::StopServer(server), Fault::FreezeServer(server)];
        let mut faults: Vec<_> = (0..servers).flat_map(each).collect();
        faults.extend([
            Fault::KillServer(0),
            Fault::CutClients(1),
            Fault::CutClients(3),
            Fault::DelayClients(2),
            Fault::BlackHoleClients(2),
            Fault::SlowReader(0),
            Fault::SlowReader(devices - 1),
            Fault::Storm,
            Fault::ReadOnly,
        ]);
        if servers > 1 {
            faults.extend([Fault::KillDatabase, Fault::StopDatabase]);
        }
        if matches!(self, Self::Mosquitto | Self::Nodes(_)) {
            faults.extend([
                Fault::KillBroker,
                Fault::EmptyBroker,
                Fault::FreezeBroker,
                Fault::CutLink,
                Fault::DelayLink,
                Fault::BlackHoleLink,
            ]);
        }
        faults
    }

    fn faults_of_machine() -> Vec<Fault> {
        vec![
            Fault::FullDisk,
            Fault::FullDisk,
            Fault::StepClock(3600),
            Fault::StepClock(-3600),
            Fault::StepClock(0),
            Fault::KillServer(0),
            Fault::CutClients(3),
        ]
    }
}

/// The programs of a run.
#[derive(Debug)]
pub struct Stage {
    // First, because the first is dropped first: it lies in the server's home.
    disk: Option<Disk>,
    servers: Vec<App>,
    broker: Option<Mosquitto>,
    doors: Vec<Proxy>,
    link: Option<Proxy>,
    access: watch::Sender<Access>,
    database: Option<Arc<dyn Database>>,
    clock: Option<Clock>,
    can_read_only: bool,
    _liars: Vec<Liar>,
    _devices_port: Port,
}

impl Stage {
    /// Starts everything; with a lie, clients hear the servers through somebody who tells it.
    ///
    /// # Errors
    /// When a program does not start.
    pub async fn start(
        configuration: Configuration,
        database: Option<Arc<dyn Database>>,
        lie: Option<Lie>,
    ) -> Result<Self> {
        let devices_port = Port::reserve()?;
        let clock = if configuration == Configuration::Machine { Clock::new()? } else { None };
        let (mut broker, mut link) = (None, None);
        if matches!(configuration, Configuration::Mosquitto | Configuration::Nodes(_)) {
            let mosquitto = Mosquitto::start().await?;
            link = Some(Proxy::start(mosquitto.address()).await?);
            broker = Some(mosquitto);
        }
        let count = if let Configuration::Nodes(count) = configuration { count } else { 1 };
        let mut servers = Vec::new();
        for _ in 0..count {
            let mut options = App::builder().no_rate_limit().keeps_port()?;
            for (name, value) in clock.iter().flat_map(Clock::variables) {
                options = options.variable(name, &value);
            }
            if let Some(database) = &database {
                options = options.args(["--database", &database.url()]);
            }
            options = if let (Some(broker), Some(link)) = (&broker, &link) {
                options
                    .broker(&broker.url().replace(&broker.address().to_string(), &link.address().to_string()))
            } else {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, devices_port.number()));
                options.args(["--broker-listen", &address.to_string()])
            };
            servers.push(options.start().await?);
        }
        let mut disk = None;
        if configuration == Configuration::Machine {
            servers[0].stop().await?;
            disk = Disk::mount(&servers[0].data())?;
            servers[0].start_again().await?;
        }
        let access = match &broker {
            Some(broker) => Access::from(broker),
            None => Access::of_devices(&servers[0]).await?,
        };
        let (mut doors, mut liars) = (Vec::new(), Vec::new());
        for server in &servers {
            let mut target = server.address();
            if let Some(lie) = lie {
                let liar = Liar::start(target, lie).await?;
                target = liar.address();
                liars.push(liar);
            }
            doors.push(Proxy::start(target).await?);
        }
        let can_read_only = database.is_some() || ReadOnly::is_possible(&servers[0].data())?;
        Ok(Self {
            disk,
            servers,
            broker,
            doors,
            link,
            access: watch::Sender::new(access),
            database,
            clock,
            can_read_only,
            _liars: liars,
            _devices_port: devices_port,
        })
    }

    /// Whether this can break here: not everywhere may be mounted, or files be made immutable, and is libfaketime.
    #[must_use]
    pub fn can(&self, fault: Fault) -> bool {
        match fault {
            Fault::FullDisk => self.disk.is_some(),
            Fault::ReadOnly => self.can_read_only,
            Fault::StepClock(_) => self.clock.is_some(),
            Fault::KillDatabase | Fault::StopDatabase => self.database.is_some(),
            _ => true,
        }
    }

    /// Where clients connect, through the proxies.
    #[must_use]
    pub fn doors(&self) -> Vec<SocketAddr> {
        self.doors.iter().map(Proxy::address).collect()
    }

    /// The way into the broker for MQTT clients.
    #[must_use]
    pub fn access(&self) -> watch::Receiver<Access> {
        self.access.subscribe()
    }

    /// Lets somebody new in.
    ///
    /// # Errors
    /// When the server does not.
    pub async fn sign_in(&self, name: &str) -> Result<Identity> {
        let mut user = User::sign_in(self.servers[0].address(), name).await?;
        user.close().await?;
        let name = name.to_owned();
        Ok(Identity { id: user.id.clone(), name, token: user.token.clone(), log: user.log.clone() })
    }

    /// A session of somebody beside their devices.
    ///
    /// # Errors
    /// When the server does not let them in.
    pub async fn visit(&self, identity: &Identity) -> Result<User> {
        let data = serde_json::json!({"name": identity.name, "token": identity.token});
        User::hello(self.servers[0].address(), &data).await
    }

    /// Breaks something, and repairs it again.
    ///
    /// # Errors
    /// When something does not come back.
    pub async fn suffer(
        &mut self,
        planned: Planned,
        recorder: &Recorder,
        orders: &watch::Sender<Orders>,
    ) -> Result<()> {
        let Planned { fault, hold, .. } = planned;
        recorder.note(What::Fault { fault: format!("{fault:?} for {hold:?}") });
        match fault {
            Fault::KillServer(number) => {
                self.servers[number].kill().await?;
                sleep(hold).await;
                self.servers[number].start_again().await?;
            }
            Fault::StopServer(number) => {
                self.servers[number].stop().await?;
                sleep(hold).await;
                self.servers[number].start_again().await?;
            }
            Fault::FreezeServer(number) => freeze(self.servers[number].process_id()?, hold).await?,
            Fault::KillBroker | Fault::EmptyBroker | Fault::FreezeBroker => {
                self.break_broker(fault, hold).await?;
            }
            Fault::CutClients(every) => self.doors.iter().for_each(|door| door.cut(Every(every))),
            Fault::DelayClients(every) => weather(&self.doors, Weather::Slow(DELAY), every, hold).await,
            Fault::BlackHoleClients(every) => weather(&self.doors, Weather::BlackHole, every, hold * 2).await,
            Fault::CutLink => self.link.iter().for_each(|link| link.cut(Every(1))),
            Fault::DelayLink => weather(self.link.as_slice(), Weather::Slow(DELAY), 1, hold).await,
            Fault::BlackHoleLink => weather(self.link.as_slice(), Weather::BlackHole, 1, hold).await,
            Fault::SlowReader(device) => {
                orders.send_modify(|orders| orders.asleep = Some(device));
                sleep(hold).await;
                orders.send_modify(|orders| orders.asleep = None);
            }
            Fault::Storm => self.storm().await,
            Fault::KillDatabase | Fault::StopDatabase => {
                let database = self.database.clone().context("no database of its own")?;
                let ended = database.clone();
                spawn_blocking(move || ended.end(fault == Fault::StopDatabase)).await?;
                sleep(hold).await;
                spawn_blocking(move || database.start_again()).await?;
            }
            Fault::FullDisk => {
                let disk = self.disk.as_ref().context("no disk of its own")?;
                disk.fill()?;
                sleep(hold).await;
                disk.make_room()?;
            }
            Fault::ReadOnly => self.read_only(hold).await?,
            Fault::StepClock(seconds) => self.clock.as_ref().context("no clock of its own")?.step(seconds)?,
        }
        recorder.note(What::Fault { fault: format!("{fault:?} is over") });
        Ok(())
    }

    async fn break_broker(&mut self, fault: Fault, hold: Duration) -> Result<()> {
        let broker = self.broker.as_mut().context("no broker of its own")?;
        if fault == Fault::FreezeBroker {
            return freeze(broker.process_id()?, hold).await;
        }
        broker.kill().await?;
        sleep(hold).await;
        match fault {
            Fault::EmptyBroker => broker.start_empty().await,
            _ => broker.start_again().await,
        }
    }

    async fn read_only(&self, hold: Duration) -> Result<()> {
        let Some(database) = &self.database else {
            let read_only = ReadOnly::begin(&self.servers[0].data())?;
            sleep(hold).await;
            drop(read_only);
            return Ok(());
        };
        for read_only in [true, false] {
            let database = database.clone();
            spawn_blocking(move || database.set_read_only(read_only)).await?;
            if read_only {
                sleep(hold).await;
            }
        }
        Ok(())
    }

    /// Cuts everybody, and comes back with a crowd. Who of the crowd is let in does not matter.
    async fn storm(&self) {
        for door in &self.doors {
            door.cut(Every(1));
        }
        let addresses: Vec<_> = self.doors().into_iter().cycle().take(STORM).collect();
        join_all(addresses.iter().enumerate().map(async |(number, address)| {
            let data = serde_json::json!({"name": format!("Visitor {number} {}", rand::random::<u32>()), "resume": {"public": 0}});
            User::hello(*address, &data).await.ok()
        }))
        .await;
    }
}

async fn weather(proxies: &[Proxy], weather: Weather, every: u64, hold: Duration) {
    for proxy in proxies {
        proxy.set_weather(weather, Every(every));
    }
    sleep(hold).await;
    for proxy in proxies {
        proxy.set_weather(Weather::Fair, Every(1));
        if weather == Weather::BlackHole {
            proxy.cut(Every(every));
        }
    }
}

async fn freeze(process: u32, hold: Duration) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(process)?).context("no process id")?;
    kill_process(pid, Signal::STOP)?;
    sleep(hold).await;
    Ok(kill_process(pid, Signal::CONT)?)
}

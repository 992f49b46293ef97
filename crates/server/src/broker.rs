//! The broker, whichever was chosen.

use std::net::SocketAddr;

use mqttchat_bridge::MqttOptions;
use mqttchat_tls::SharedTls;

use crate::config::{BrokerChoice, BrokerUrl, Config};
use crate::error::StartError;

/// The broker that this server uses.
#[derive(Debug)]
pub(crate) enum Broker {
    #[cfg(feature = "embedded-broker")]
    Embedded(Box<embedded::Embedded>),
    External(BrokerUrl, Option<SharedTls>),
}

impl Broker {
    /// Starts the embedded broker, if it is that one; of another, reads the files of its TLS.
    pub(crate) async fn start(config: &Config) -> Result<Self, StartError> {
        match &config.broker {
            BrokerChoice::External(url) => Ok(Self::External(url.clone(), client_tls(url)?)),
            #[cfg(feature = "embedded-broker")]
            BrokerChoice::Embedded { config: file, devices } => {
                let embedded =
                    embedded::Embedded::start(file.clone(), devices.as_ref(), &config.data).await?;
                Ok(Self::Embedded(Box::new(embedded)))
            }
            #[cfg(not(feature = "embedded-broker"))]
            BrokerChoice::Embedded { .. } => Err(StartError::NoBroker),
        }
    }

    /// What to call it in the log.
    pub(crate) fn name(&self) -> String {
        match self {
            #[cfg(feature = "embedded-broker")]
            Self::Embedded(_) => "embedded".to_owned(),
            Self::External(url, _) => url.to_string(),
        }
    }

    /// How the bridge's clients reach it.
    pub(crate) fn mqtt(&self) -> MqttOptions {
        match self {
            #[cfg(feature = "embedded-broker")]
            Self::Embedded(embedded) => embedded.mqtt(),
            Self::External(url, tls) => MqttOptions {
                targets: vec![(url.host.clone(), url.port)],
                tls: tls.clone(),
                user: url.user.clone(),
                password: url.password.clone(),
                ..MqttOptions::default()
            },
        }
    }

    /// How devices reach it.
    pub(crate) fn devices(&self) -> Option<(SocketAddr, Option<(&str, &str)>)> {
        match self {
            #[cfg(feature = "embedded-broker")]
            Self::Embedded(embedded) => embedded.devices(),
            Self::External(..) => None,
        }
    }

    /// TLS to it, if there is any: to be read again when its files have changed.
    pub(crate) fn tls(&self) -> Option<SharedTls> {
        match self {
            #[cfg(feature = "embedded-broker")]
            Self::Embedded(_) => None,
            Self::External(_, tls) => tls.clone(),
        }
    }

    /// Stops the embedded one.
    pub(crate) async fn stop(self) {
        match self {
            #[cfg(feature = "embedded-broker")]
            Self::Embedded(embedded) => embedded.stop().await,
            Self::External(..) => {}
        }
    }
}

/// Looks at the files that are named for the broker.
///
/// # Errors
/// What is wrong with one of them.
pub(crate) fn check(broker: &BrokerChoice) -> Result<(), StartError> {
    match broker {
        BrokerChoice::External(url) => client_tls(url).map(drop),
        #[cfg(feature = "embedded-broker")]
        BrokerChoice::Embedded { config: Some(file), .. } => Ok(mqttchat_broker::check(file)?),
        BrokerChoice::Embedded { .. } => Ok(()),
    }
}

/// TLS to a broker, if its URL asks for it.
fn client_tls(url: &BrokerUrl) -> Result<Option<SharedTls>, StartError> {
    let tls = url.tls.clone().map(SharedTls::load).transpose();
    tls.map_err(|source| StartError::BrokerTls { broker: url.to_string(), source })
}

#[cfg(feature = "embedded-broker")]
mod embedded {
    use std::collections::HashMap;
    use std::net::SocketAddr;
    use std::path::{Path, PathBuf};

    use mqttchat_bridge::MqttOptions;
    use mqttchat_broker::{BrokerOptions, DeviceListener, DeviceLogin, EmbeddedBroker};

    use crate::config::Devices;
    use crate::device_login;
    use crate::error::StartError;

    /// Clients of the bridge that are no session's: hub and ingest, and room for one more of each while they reconnect.
    const OWN_CLIENTS: usize = 8;

    #[derive(Debug)]
    pub(crate) struct Embedded {
        broker: EmbeddedBroker,
        password: Option<String>,
    }

    impl Embedded {
        pub(super) async fn start(
            config: Option<PathBuf>,
            devices: Option<&Devices>,
            data: &Path,
        ) -> Result<Self, StartError> {
            let password = match devices {
                Some(devices) if !devices.anonymous => Some(device_login::password(data)?),
                _ => None,
            };
            let login = match &password {
                Some(password) => {
                    DeviceLogin::Users(HashMap::from([(device_login::USER.to_owned(), password.clone())]))
                }
                None => DeviceLogin::Anonymous,
            };
            let devices = devices.map(|devices| DeviceListener { addr: devices.address, login });
            let broker =
                EmbeddedBroker::start(BrokerOptions { config, devices, ..BrokerOptions::default() }).await?;
            Ok(Self { broker, password })
        }

        pub(super) fn mqtt(&self) -> MqttOptions {
            let login = self.broker.credentials();
            MqttOptions {
                targets: self.broker.addresses().iter().map(|at| (at.ip().to_string(), at.port())).collect(),
                user: Some(login.user.clone()),
                password: Some(login.password.clone()),
                strangers: Some(self.broker.devices_address().is_some()),
                max_clients: self.broker.client_limit().saturating_sub(OWN_CLIENTS),
                ..MqttOptions::default()
            }
        }

        pub(super) fn devices(&self) -> Option<(SocketAddr, Option<(&str, &str)>)> {
            let login = self.password.as_deref().map(|password| (device_login::USER, password));
            self.broker.devices_address().map(|address| (address, login))
        }

        pub(super) async fn stop(self) {
            self.broker.stop().await;
        }
    }
}

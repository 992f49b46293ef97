//! The settings after the check: from here on nothing can be wrong with them but the world.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use mqttchat_bridge::{OtherRates, Private, Rates};
use mqttchat_http::{Authority, Origin, QuotaLimits};
use mqttchat_protocol::Limits;
use tracing_subscriber::EnvFilter;

use super::auth::{AuthConfig, auth};
use super::broker::{BrokerChoice, BrokerUrl, Devices, client_tls};
use super::database::DatabaseUrl;
use super::error::ConfigError;
use super::front::FrontConfig;
use super::layers::{Layers, Source, Value, text};
use super::sockjs::SockJsConfig;
use super::webhook::{WebhookConfig, webhook};

/// Everything that can be chosen about a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the page is served.
    pub listen: SocketAddr,
    /// Whether to show the way in for the local network.
    pub lan: bool,
    /// The broker.
    pub broker: BrokerChoice,
    /// The directory of database and secrets.
    pub data: PathBuf,
    /// The PostgreSQL database that many nodes share, instead of the one in the data directory.
    pub database: Option<DatabaseUrl>,
    /// Serves the page from here, not from the binary.
    pub page: Option<PathBuf>,
    /// The log.
    pub log: LogOptions,
    /// What clients may do.
    pub limits: Limits,
    /// Who is let in.
    pub auth: AuthConfig,
    /// How fast a user may send.
    pub rates: Rates,
    /// How fast a user may do what else there is, and an address all of it.
    pub other_rates: OtherRates,
    /// How many connections there may be; 0 is no limit.
    pub quota: QuotaLimits,
    /// Stands before each topic.
    pub prefix: String,
    /// What of private conversations goes over the broker.
    pub private: Private,
    /// Whether strangers' messages are taken in.
    pub ingest: bool,
    /// Whether programs can ask for history over MQTT.
    pub history: bool,
    /// Whether the course lab's two calls are there.
    pub lab_api: bool,
    /// Where events are posted to.
    pub webhook: Option<WebhookConfig>,
    /// Other pages that may connect.
    pub origins: Vec<Origin>,
    /// Other names of this server.
    pub hosts: Vec<String>,
    /// What the listener speaks, and whom it believes.
    pub front: FrontConfig,
    /// SockJS, if it is on.
    pub sockjs: Option<SockJsConfig>,
}

/// How the log looks, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// How it looks.
    pub format: LogFormat,
    /// A level, or directives in the syntax of `RUST_LOG`.
    pub level: String,
    /// Whether the level was given by flag or variable, and so wins over `RUST_LOG`.
    pub level_wins: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The port of the page.
const PORT: u16 = 9091;
/// Connections in all, and from one address.
const CONNECTIONS: u64 = 10_000;
const CONNECTIONS_PER_ADDRESS: u64 = 2_000;
/// The embedded broker takes packets of 1 MiB; an entry is larger than its frame by names, numbers and a signature.
const FRAME_MAX: u64 = 512 * 1024;

impl Config {
    /// Where a server with these settings serves the page; nothing else is looked at.
    ///
    /// # Errors
    /// [`ConfigError`] for a port or address that can't be one.
    pub fn listen_of(layers: &Layers) -> Result<SocketAddr, ConfigError> {
        listen(layers).map(|(address, _)| address)
    }

    /// Whether a server with these settings speaks TLS; nothing else is looked at.
    #[must_use]
    pub fn is_https(layers: &Layers) -> bool {
        layers.get("tls_cert").is_some()
    }

    /// Checks what was given. `home` is the user's data directory, for the default of `data`.
    ///
    /// # Errors
    /// The first [`ConfigError`] found.
    pub fn check(layers: &Layers, home: Option<&Path>) -> Result<Self, ConfigError> {
        let (listen, lan) = listen(layers)?;
        Ok(Self {
            listen,
            lan,
            broker: broker(layers)?,
            data: data(layers, home)?,
            database: database(layers)?,
            page: page(layers)?,
            log: log(layers)?,
            limits: limits(layers)?,
            auth: auth(layers)?,
            rates: Rates {
                messages_per_second: layers.number("limits.messages_per_second", 20, 0, 1_000_000)? as u32,
                burst: layers.number("limits.burst", 100, 0, 1_000_000)? as u32,
            },
            other_rates: other_rates(layers)?,
            quota: QuotaLimits {
                total: layers.number("limits.connections", CONNECTIONS, 0, 10_000_000)? as usize,
                per_address: layers.number(
                    "limits.connections_per_address",
                    CONNECTIONS_PER_ADDRESS,
                    0,
                    10_000_000,
                )? as usize,
            },
            prefix: prefix(layers)?,
            private: layers.parse(
                "mqtt.private",
                Private::Auto,
                "\"auto\", \"full\" or \"bell\"",
                |value| match text(value)? {
                    "auto" => Some(Private::Auto),
                    "full" => Some(Private::Full),
                    "bell" => Some(Private::Bell),
                    _ => None,
                },
            )?,
            ingest: layers.switch("mqtt.ingest", true)?,
            history: layers.switch("mqtt.history", false)?,
            lab_api: layers.switch("lab_api", false)?,
            webhook: webhook(layers)?,
            origins: layers.list(
                "http.origins",
                "origins such as \"https://chat.example.com\"",
                Origin::parse,
            )?,
            hosts: layers.list(
                "http.hosts",
                "host names such as \"chat.example.com\", without a port",
                |name| {
                    Authority::parse(name)
                        .filter(|host| host.port().is_none())
                        .map(|host| host.host().to_owned())
                },
            )?,
            front: FrontConfig::check(layers)?,
            sockjs: SockJsConfig::check(layers)?,
        })
    }
}

/// The address of the page. `--lan` stands for all interfaces, unless a nearer source says which.
fn listen(layers: &Layers) -> Result<(SocketAddr, bool), ConfigError> {
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let port = layers.number("port", PORT.into(), 0, u16::MAX.into())? as u16;
    let bind = layers.parse("bind", HERE, "an IP address, such as 127.0.0.1, 0.0.0.0 or ::", |value| {
        text(value)?.parse::<IpAddr>().ok()
    })?;
    let mut lan = layers.switch("lan", false)?;
    let rank = |key| layers.get(key).map(|given| given.source.rank());
    let (lan_rank, bind_rank) = (rank("lan"), rank("bind"));
    if lan && bind_rank > lan_rank {
        lan = false;
    }
    if lan && bind_rank == lan_rank && bind != HERE {
        return Err(ConfigError::Together(format!(
            "lan listens on all interfaces, and bind on {bind} only: give one of them"
        )));
    }
    let address = if lan { Ipv4Addr::UNSPECIFIED.into() } else { bind };
    Ok((SocketAddr::new(address, port), lan))
}

fn broker(layers: &Layers) -> Result<BrokerChoice, ConfigError> {
    let address =
        layers.parse_given("broker_listen", "an address with a port, such as 0.0.0.0:1883", |value| {
            text(value)?.parse::<SocketAddr>().ok()
        })?;
    let anonymous = layers.switch("broker_anonymous", false)?;
    let config = layers.parse_given("broker_config", "a file", |value| text(value).map(PathBuf::from))?;
    let tls = client_tls(layers)?;
    let no_tls = || {
        let reason =
            "mqtt.ca, mqtt.cert and mqtt.key are for a broker with TLS: broker = \"mqtts://host:port\"";
        Err(ConfigError::Together(reason.to_owned()))
    };
    let Some(given) = layers.get("broker") else {
        if tls.is_some() {
            return no_tls();
        }
        if anonymous && address.is_none() {
            let reason =
                "broker_anonymous lets devices in without a login, but broker_listen doesn't say where";
            return Err(ConfigError::Together(reason.to_owned()));
        }
        let devices = address.map(|address| Devices { address, anonymous });
        return Ok(BrokerChoice::Embedded { config, devices });
    };
    for (key, is_given) in [
        ("broker_listen", address.is_some()),
        ("broker_anonymous", anonymous),
        ("broker_config", config.is_some()),
    ] {
        if is_given {
            let reason =
                format!("{key} is for the embedded broker, which doesn't run when broker names another one");
            return Err(ConfigError::Together(reason));
        }
    }
    let url = match &given.value {
        Value::Text(url) => BrokerUrl::parse(url),
        _ => Err("has to be a text like mqtt://host:port".to_owned()),
    };
    let mut url =
        url.map_err(|reason| ConfigError::Secret { key: "broker", source_: given.source.clone(), reason })?;
    match (&mut url.tls, tls) {
        (Some(of_url), Some(tls)) => *of_url = tls,
        (None, Some(_)) => return no_tls(),
        (_, None) => {}
    }
    Ok(BrokerChoice::External(url))
}

fn data(layers: &Layers, home: Option<&Path>) -> Result<PathBuf, ConfigError> {
    let given = layers.parse_given("data", "a directory", |value| text(value).map(PathBuf::from))?;
    given.or_else(|| home.map(|home| home.join("mqttchat"))).ok_or_else(|| {
        ConfigError::Together("there is no home directory to keep data in: give one with --data".to_owned())
    })
}

fn database(layers: &Layers) -> Result<Option<DatabaseUrl>, ConfigError> {
    let Some(given) = layers.get("database") else { return Ok(None) };
    let url = match &given.value {
        Value::Text(url) => DatabaseUrl::parse(url),
        _ => None,
    };
    url.map(Some).ok_or_else(|| ConfigError::Secret {
        key: "database",
        source_: given.source.clone(),
        reason: "has to be a text like postgres://user:password@host:5432/name".to_owned(),
    })
}

fn page(layers: &Layers) -> Result<Option<PathBuf>, ConfigError> {
    layers.parse_given("static", "a directory with an index.html", |value| {
        text(value).map(PathBuf::from).filter(|path| path.join("index.html").is_file())
    })
}

fn log(layers: &Layers) -> Result<LogOptions, ConfigError> {
    let format =
        layers.parse("log_format", LogFormat::Human, "\"human\" or \"json\"", |value| {
            match text(value)? {
                "human" => Some(LogFormat::Human),
                "json" => Some(LogFormat::Json),
                _ => None,
            }
        })?;
    let allowed = "error, warn, info, debug, trace, or directives such as \"info,mqttchat_bridge=debug\"";
    let level = layers.parse("log_level", "info".to_owned(), allowed, |value| {
        let level = text(value)?;
        // A bare word that is no level would be taken for the name of a module.
        let is_level = ["error", "warn", "info", "debug", "trace"].contains(&level);
        let is_directives = level.contains(['=', ',']) && EnvFilter::builder().parse(level).is_ok();
        (is_level || is_directives).then(|| level.to_owned())
    })?;
    let level_wins =
        layers.get("log_level").is_some_and(|given| !matches!(given.source, Source::File { .. }));
    Ok(LogOptions { format, level, level_wins })
}

fn limits(layers: &Layers) -> Result<Limits, ConfigError> {
    let default = Limits::default();
    let frame = layers.number("limits.frame", default.frame as u64, 1024, FRAME_MAX)?;
    let text = layers.number("limits.text", default.text as u64, 1, FRAME_MAX)?;
    if text > frame {
        let reason =
            format!("limits.text is {text} and limits.frame {frame}: a text has to fit into a frame");
        return Err(ConfigError::Together(reason));
    }
    Ok(Limits {
        text: text as usize,
        frame: frame as usize,
        history: layers.number("limits.history", default.history, 1, 1000)?,
        resume: layers.number("limits.resume", default.resume as u64, 1, 1000)? as usize,
        ping: default.ping,
    })
}

fn other_rates(layers: &Layers) -> Result<OtherRates, ConfigError> {
    let default = OtherRates::default();
    let rate = |key, default: u32| Ok(layers.number(key, default.into(), 0, 1_000_000)? as u32);
    Ok(OtherRates {
        joins: rate("limits.joins_per_second", default.joins)?,
        pages: rate("limits.pages_per_second", default.pages)?,
        searches: rate("limits.searches_per_second", default.searches)?,
        frames: rate("limits.frames_per_second", default.frames)?,
        per_address: rate("limits.per_second_per_address", default.per_address)?,
    })
}

fn prefix(layers: &Layers) -> Result<String, ConfigError> {
    let allowed = "empty, or topic levels of a-z, 0-9 and -, such as \"chat\" or \"site/chat\"";
    layers.parse("mqtt.prefix", String::new(), allowed, |value| {
        let Value::Text(prefix) = value else { return None };
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if prefix.is_empty() {
            return Some(String::new());
        }
        let is_level = |level: &str| {
            !level.is_empty()
                && level.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        (prefix.len() <= 64 && prefix.split('/').all(is_level)).then(|| format!("{prefix}/"))
    })
}

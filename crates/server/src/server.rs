//! A whole server: bound, run until stopped, stopped in good order.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use mqttchat_bridge::{Authenticator, Bridge, BridgeOptions, FrameTypes, Guests, MqttOptions, Routes};
use mqttchat_http::{
    Assets, Bodies, Hosts, HttpOptions, ListenOptions, Listener, Origins, QuotaLimits, Redirect, Security,
    SockJsOptions, Tls,
};
use mqttchat_store::{Store, StoreOptions};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::broker::Broker;
use crate::builder::{Builder, Parts};
use crate::config::{Config, SockJsConfig};
use crate::error::StartError;
use crate::reload::Reload;
use crate::webhook::Webhook;
use crate::{certificate, files, jwt, telemetry};

/// How long the start waits for the broker. The embedded one is there already; an external one may be away, and the
/// server then starts without it.
const BROKER_PATIENCE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How often histograms are brought together, so that they don't grow between two visits of Prometheus.
const UPKEEP: Duration = Duration::from_secs(5);

/// A server that can serve: its port is bound, its store open, its broker there or sought for.
#[derive(Debug)]
pub struct ChatServer {
    config: Config,
    listener: Listener,
    tls: Option<Tls>,
    /// Where plain HTTP is redirected.
    redirect: Option<Listener>,
    metrics: PrometheusHandle,
    store: Store,
    broker: Broker,
    bridge: Bridge,
    /// The keys of the application whose tokens let people in.
    keys: Option<jwt::Keys>,
    own: Option<BoxedFilter<(Response,)>>,
    webhook: Option<Webhook>,
}

impl ChatServer {
    /// A server to be described before it is started.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A server with these settings and nothing of an application in it: see [`Builder::build`].
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        Self::builder().config(config).build().await
    }

    pub(crate) async fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts { config, listener, authenticator, routes, frame_types, own } = parts;
        let quota = files::within(config.quota, files::connections());
        let tls = config.front.tls.as_ref().map(|tls| Tls::load(&tls.certificate, &tls.key)).transpose()?;
        let jwt = config.auth.jwt.as_ref().filter(|_| authenticator.is_none());
        let keys = jwt.map(jwt::Keys::load).transpose()?;
        let (listener, redirect) = listen(&config, listener, quota, tls.clone())?;
        let metrics = telemetry::metrics();
        let store = match &config.database {
            Some(database) => Store::open(StoreOptions::postgres(database.secret()))
                .await
                .map_err(|source| StartError::Database { database: database.to_string(), source })?,
            None => Store::open(StoreOptions::sqlite(&config.data))
                .await
                .map_err(|source| StartError::Store { data: config.data.clone(), source })?,
        };
        let authenticator = authenticator.unwrap_or_else(|| authenticator_of(keys.as_ref(), &store));
        let broker = match Broker::start(&config).await {
            Ok(broker) => broker,
            Err(error) => {
                store.close().await;
                return Err(error);
            }
        };
        let options = bridge_options(&config, broker.mqtt(), routes, frame_types);
        let bridge = match Bridge::start_with(store.clone(), options, authenticator).await {
            Ok(bridge) => bridge,
            Err(error) => {
                broker.stop().await;
                store.close().await;
                return Err(error.into());
            }
        };
        let webhook = match config.webhook.clone() {
            Some(webhook) => match Webhook::start(store.clone(), webhook).await {
                Ok(webhook) => Some(webhook),
                Err(error) => {
                    bridge.stop().await;
                    broker.stop().await;
                    store.close().await;
                    return Err(error.into());
                }
            },
            None => None,
        };
        let own = own.into_iter().map(|make| make(&bridge));
        let own = own.reduce(|before, own| before.or(own).unify().boxed());
        let server =
            Self { config, listener, tls, redirect, metrics, store, broker, bridge, keys, own, webhook };
        server.wait_for_broker().await;
        if server.config.lab_api && !server.address().ip().is_loopback() {
            tracing::warn!(
                "the lab's calls know no login: whoever reaches this address can send as any alias"
            );
        }
        if quota != server.config.quota {
            tracing::info!(connections = quota.total, "the limit of open files bounds how many can connect");
        }
        Ok(server)
    }

    async fn wait_for_broker(&self) {
        let deadline = Instant::now() + BROKER_PATIENCE;
        while let Err(why) = self.bridge.status().broker {
            if Instant::now() >= deadline {
                tracing::warn!(
                    broker = %self.broker.name(),
                    %why,
                    "the broker is away: messages are accepted and delivered here, and published when it is back"
                );
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Where the page is served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// The address of the page for a browser on this machine.
    #[must_use]
    pub fn url(&self) -> String {
        let address = self.address();
        let host = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        format!("{}://{}", self.scheme(), SocketAddr::new(host, address.port()))
    }

    /// `http`, or with TLS `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The certificate, if the server speaks TLS itself: to be read again when its files have changed.
    #[must_use]
    pub fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }

    /// What can be read again while the server runs.
    #[must_use]
    pub fn reload(&self) -> Reload {
        Reload::new(self.tls.clone(), self.broker.tls(), self.keys.clone())
    }

    /// How devices get in, if they may: the address, and the login unless it needs none.
    #[must_use]
    pub fn devices(&self) -> Option<(SocketAddr, Option<(&str, &str)>)> {
        self.broker.devices()
    }

    /// The node: what its messages pass, and what programs can do with it. Good for as long as the server runs.
    #[must_use]
    pub fn bridge(&self) -> Bridge {
        self.bridge.clone()
    }

    /// Serves until `stop`, then says goodbye to clients, publishes what is left and closes the database.
    ///
    /// To be run to its end; dropped, it seems to clients and broker like a crash.
    ///
    /// # Errors
    /// [`Fenced`], when it ended since another process has taken this node's place.
    pub async fn run_until(self, stop: impl Future<Output = ()> + Send) -> Result<(), Fenced> {
        let quota = files::within(self.config.quota, files::connections());
        let hosts = Hosts::new(self.config.hosts.iter().cloned().chain(own_name()));
        let redirect = self
            .redirect
            .map(|listener| (listener, Redirect::new(hosts.clone(), self.listener.local_addr().port())));
        let options = HttpOptions {
            bodies: Bodies::default(),
            messages: Bodies::default(),
            hosts,
            origins: Origins::new(self.config.origins.clone()),
            assets: self.config.page.clone().map_or(Assets::Embedded, Assets::Directory),
            by_token: self.keys.is_some(),
            frame_limit: self.config.limits.frame,
            body_timeout: self.config.front.body_timeout,
            sockjs: self.config.sockjs.clone().map(|sockjs| sockjs_options(sockjs, quota)),
            metrics: self.metrics.clone(),
            own: self.own,
            lab: self.config.lab_api,
            security: Security {
                embedders: self.config.front.embedders.clone(),
                hsts: self.config.front.hsts,
            },
        };
        let app = mqttchat_http::app(self.bridge.clone(), options);
        let upkeep = tokio::spawn(keep_metrics(self.metrics));
        let watch = self.tls.map(|tls| tokio::spawn(certificate::watch(tls)));
        let (asked, stopping) = oneshot::channel::<()>();
        let (asked_too, stopping_too) = oneshot::channel::<()>();
        let fenced = AtomicBool::new(false);
        let serve = self.listener.serve(app, async {
            tokio::select! {
                () = stop => {}
                () = self.bridge.fenced() => fenced.store(true, Ordering::Release),
            }
            tracing::info!("stopping");
            drop((asked, asked_too));
        });
        let send_on = async {
            if let Some((listener, redirect)) = redirect {
                let stopped = async { drop(stopping_too.await) };
                listener.serve(redirect, stopped).await;
            }
        };
        let say_goodbye = async {
            // Sent or dropped: both mean that nobody is accepted any more.
            let _ = stopping.await;
            self.bridge.stop().await;
        };
        tokio::join!(serve, send_on, say_goodbye);
        if let Some(webhook) = self.webhook {
            webhook.stop().await;
        }
        self.broker.stop().await;
        self.store.close().await;
        upkeep.abort();
        watch.iter().for_each(JoinHandle::abort);
        tracing::info!("stopped");
        if fenced.into_inner() { Err(Fenced) } else { Ok(()) }
    }
}

/// The node was silent for so long that another process has taken its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another server has taken this one's place while it was silent; start it again")]
pub struct Fenced;

/// The page's listener, and with TLS the one that redirects to it. They count their connections together.
fn listen(
    config: &Config,
    socket: Option<std::net::TcpListener>,
    quota: QuotaLimits,
    tls: Option<Tls>,
) -> Result<(Listener, Option<Listener>), StartError> {
    let plain = ListenOptions {
        quota,
        proxies: config.front.proxies.clone(),
        header_timeout: config.front.header_timeout,
        ..ListenOptions::default()
    };
    let options = ListenOptions { tls, ..plain.clone() };
    let listener = match socket {
        Some(socket) => Listener::from_std(socket, options),
        None => Listener::bind(config.listen, options),
    };
    let listener = listener.map_err(|source| StartError::Listen { address: config.listen, source })?;
    let redirect = config.front.tls.as_ref().and_then(|tls| tls.redirect).map(|address| {
        let redirect = Listener::bind(address, plain).map(|redirect| redirect.sharing(&listener));
        redirect.map_err(|source| StartError::Listen { address, source })
    });
    let redirect = redirect.transpose()?;
    Ok((listener, redirect))
}

async fn keep_metrics(metrics: PrometheusHandle) {
    let mut ticks = interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

fn authenticator_of(keys: Option<&jwt::Keys>, store: &Store) -> Box<dyn Authenticator> {
    match keys {
        Some(keys) => Box::new(jwt::authenticator(store.clone(), keys)),
        None => Box::new(Guests::new(store.clone())),
    }
}

fn bridge_options(
    config: &Config,
    mqtt: MqttOptions,
    routes: Routes,
    frame_types: FrameTypes,
) -> BridgeOptions {
    let mqtt = MqttOptions {
        prefix: config.prefix.clone(),
        private: config.private,
        ingest: config.ingest,
        history: config.history,
        ..mqtt
    };
    BridgeOptions {
        limits: config.limits.clone(),
        rates: config.rates,
        signing: config.auth.signing,
        other_rates: config.other_rates,
        origin_or_token: config.front.origin_or_token,
        mqtt,
        routes,
        frame_types,
        ..BridgeOptions::default()
    }
}

/// There may be as many sessions as connections: with none of those limits, as open files.
fn sockjs_options(config: SockJsConfig, quota: QuotaLimits) -> SockJsOptions {
    let limit = |limit| if limit == 0 { usize::MAX } else { limit };
    SockJsOptions {
        heartbeat: config.heartbeat,
        disconnect_delay: config.disconnect_delay,
        streaming_limit: config.streaming_limit,
        cookies: config.cookies,
        client_url: config.client_url,
        sessions: limit(quota.total),
        sessions_per_address: limit(quota.per_address),
    }
}

/// What this machine calls itself.
fn own_name() -> Option<String> {
    rustix::system::uname().nodename().to_str().ok().map(str::to_owned)
}

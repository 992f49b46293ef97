//! A server, described by the application that it runs in.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mqttchat_bridge::{Authenticator, BadFrameType, Bridge, FrameHandler, FrameTypes, Route, Routes};
use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Rejection, Reply};

use crate::config::{BrokerChoice, BrokerUrl, Config, ConfigError, DatabaseUrl, Layers};
use crate::error::StartError;
use crate::server::ChatServer;

/// What is to be put into a server before it starts. Where nothing is said, it is as the binary is by itself.
///
/// ```no_run
/// use mqttchat::{ChatServer, Message, Verdict};
///
/// # async fn run() -> anyhow::Result<()> {
/// let server = ChatServer::builder()
///     .data("/var/lib/shop/chat")
///     .listen("127.0.0.1:9091".parse()?)
///     .route("no-links", |message: &Message<'_>| match message.text() {
///         Some(text) if text.contains("http://") => Verdict::Stop("no links, please".to_owned()),
///         _ => Verdict::Pass,
///     })
///     .build()
///     .await?;
/// server.run_until(async { drop(tokio::signal::ctrl_c().await) }).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    config: Result<Config, StartError>,
    /// Whether it was said where data is kept: an application's is nowhere by itself.
    has_place: bool,
    listener: Option<TcpListener>,
    authenticator: Option<Box<dyn Authenticator>>,
    routes: Vec<(Arc<str>, AddRoute)>,
    frame_types: FrameTypes,
    own: Vec<MakeOwn>,
}

/// Adds a route, in the runtime that it is to run in.
type AddRoute = Box<dyn FnOnce(&Routes, Arc<str>) + Send>;

/// Makes the application's own pages.
pub(crate) type MakeOwn = Box<dyn FnOnce(&Bridge) -> BoxedFilter<(Response,)> + Send>;

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What a server is made of.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) listener: Option<TcpListener>,
    pub(crate) authenticator: Option<Box<dyn Authenticator>>,
    pub(crate) routes: Routes,
    pub(crate) frame_types: FrameTypes,
    pub(crate) own: Vec<MakeOwn>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            config: Config::check(&Layers::default(), Some(Path::new(""))).map_err(StartError::from),
            has_place: false,
            listener: None,
            authenticator: None,
            routes: Vec::new(),
            frame_types: FrameTypes::default(),
            own: Vec::new(),
        }
    }

    /// Takes settings as a file, variables and flags give them, in place of all that was said before.
    pub fn config(mut self, config: Config) -> Self {
        (self.config, self.has_place) = (Ok(config), true);
        self
    }

    /// Changes any setting.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        if let Ok(config) = &mut self.config {
            change(config);
        }
        self
    }

    /// The directory of database and secrets; made where it isn't there.
    pub fn data(mut self, directory: impl Into<PathBuf>) -> Self {
        self.has_place = true;
        self.configure(|config| config.data = directory.into())
    }

    /// The PostgreSQL database that many nodes share, `postgres://user:password@host/name`.
    pub fn database(mut self, url: &str) -> Self {
        let Some(database) = DatabaseUrl::parse(url) else {
            return self.wrong("the database has to be like postgres://user:password@host:5432/name");
        };
        self.has_place = true;
        self.configure(|config| config.database = Some(database))
    }

    /// A broker other than the embedded one, `mqtt://user:password@host:1883`.
    pub fn broker(self, url: &str) -> Self {
        match BrokerUrl::parse(url) {
            Ok(broker) => self.configure(|config| config.broker = BrokerChoice::External(broker)),
            Err(reason) => self.wrong(&format!("the broker {reason}")),
        }
    }

    /// Where to listen; port 0 picks a free one. `127.0.0.1:9091` by itself.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listener = None;
        self.configure(|config| config.listen = address)
    }

    /// A socket that listens already.
    pub fn listener(mut self, socket: TcpListener) -> Self {
        self.listener = Some(socket);
        self
    }

    /// Who decides who somebody is, in place of guest mode.
    pub fn authenticator(mut self, authenticator: impl Authenticator + 'static) -> Self {
        self.authenticator = Some(Box::new(authenticator));
        self
    }

    /// Puts a route at the end of the chain that every message passes. More can come and go while the server runs, by
    /// [`Bridge::routes`](crate::Bridge::routes).
    pub fn route(mut self, name: &str, route: impl Route) -> Self {
        self.routes.push((name.into(), Box::new(|routes, name| routes.add(name, route))));
        self
    }

    /// Has `handler` answer the frames of a type of the application's own, such as `poll.vote`.
    pub fn frame_type(mut self, kind: &str, handler: impl FrameHandler) -> Self {
        if let Err(error) = self.frame_types.add(kind, handler) {
            self.fail(error.into());
        }
        self
    }

    /// Puts warp routes of the application's own before the server's: where they reject a request, the server answers it.
    /// They are made with the node at hand, so that they can talk in the chat ([`Bridge::speak_for`]). They share the
    /// server's listener, its check of `Host`, and its limits (a body has at most 64 KiB); headers that a response of
    /// theirs lacks, a content security policy among them, are the server's. Called again, the new ones come behind
    /// those before.
    pub fn routes<F, R>(mut self, make: impl FnOnce(&Bridge) -> F + Send + 'static) -> Self
    where
        F: Filter<Extract = (R,), Error = Rejection> + Clone + Send + Sync + 'static,
        R: Reply,
    {
        self.own.push(Box::new(|bridge| make(bridge).map(|reply: R| reply.into_response()).boxed()));
        self
    }

    /// Starts everything but serving. Clients can connect from here on, and wait until [`ChatServer::run_until`].
    ///
    /// # Errors
    /// [`StartError`]: something above can't be, the port is taken, the data directory can't be used, the embedded broker
    /// can't be started. Nothing is left running then. The port comes before the database, so that a start that fails
    /// for it leaves nothing behind.
    pub async fn build(self) -> Result<ChatServer, StartError> {
        let config = self.config?;
        if !self.has_place {
            let reason = "it was not said where data is kept: give a directory (data) or a database";
            return Err(ConfigError::Together(reason.to_owned()).into());
        }
        let routes = Routes::default();
        for (name, add) in self.routes {
            add(&routes, name);
        }
        ChatServer::start(Parts {
            config,
            listener: self.listener,
            authenticator: self.authenticator,
            routes,
            frame_types: self.frame_types,
            own: self.own,
        })
        .await
    }

    fn wrong(mut self, sentence: &str) -> Self {
        self.fail(ConfigError::Together(sentence.to_owned()).into());
        self
    }

    /// Remembers what is wrong, the first of it.
    fn fail(&mut self, error: StartError) {
        if self.config.is_ok() {
            self.config = Err(error);
        }
    }
}

impl From<BadFrameType> for StartError {
    fn from(error: BadFrameType) -> Self {
        ConfigError::Together(error.to_string()).into()
    }
}

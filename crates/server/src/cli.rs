//! The command line: flags, and the commands beside serving.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Value;

/// A chat server that speaks MQTT, in one binary.
#[derive(Debug, Parser)]
#[command(name = "mqttchat", version, about, max_term_width = 100)]
#[command(
    after_help = "Every setting can also be given as a variable (MQTTCHAT_PORT, MQTTCHAT_LIMITS__TEXT) or in the \
    file of --config; a flag wins over a variable, and a variable over the file."
)]
pub struct Cli {
    /// What to do; without it the server runs.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The settings.
    #[command(flatten)]
    pub flags: Flags,
}

/// What the program can do beside serving.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Print the configuration file with every setting at its default
    DefaultConfig,
    /// Check the settings without starting anything
    CheckConfig,
    /// Ask a running server whether it is alive; exit status 0 if it is, 1 if not
    Healthcheck {
        /// Address to ask [default: /healthz of the server with these settings on this machine]
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Make, list and revoke the keys of programs; the server may run meanwhile
    Apikey {
        /// What to do with them.
        #[command(subcommand)]
        command: ApiKeyCommand,
    },
    /// Lock users out, let them in again, give them new tokens; the server may run meanwhile
    User {
        /// What to do with them.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Rotate the master secret, from which the keys of tokens and of everything on MQTT are made; the server may run meanwhile
    Secret {
        /// What to do with it.
        #[command(subcommand)]
        command: SecretCommand,
    },
    /// Print the version
    Version,
}

/// What can be done with the keys of programs.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ApiKeyCommand {
    /// Make a key, with a user of this name that it speaks for, and print it: it is shown only once
    Create {
        /// What the key and its user are called
        name: String,
        /// What it may be used for; can be given several times
        #[arg(long, value_name = "SCOPE", default_values = ["read", "write"])]
        scope: Vec<Scope>,
    },
    /// List all keys, without their secrets, and when each was last used
    List,
    /// Revoke a key: within a second it is of no use any more
    Revoke {
        /// What the key is called
        name: String,
    },
}

/// What can be done with users. A user is named by the id, or by the name that it was made from.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum UserCommand {
    /// List all users
    List,
    /// Lock a user out: within a second their sessions end on every node, and nothing of theirs is taken
    Block {
        /// Who
        name: String,
    },
    /// Let a user in again
    Unblock {
        /// Who
        name: String,
    },
    /// Print a new token for a guest who has lost theirs; it ends those that there were, and the sessions opened with them
    Token {
        /// Who
        name: String,
    },
}

/// What can be done with the master secret.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum SecretCommand {
    /// Make a new one; guests get a token of it at their next visit, and need the operator if that comes after the grace
    Rotate {
        /// Days for which what was signed with those before stays good; 0, for a secret that was stolen, ends it at once,
        /// and the sessions of all guests with it
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        grace: u16,
    },
}

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// Reading what its user may read
    Read,
    /// Sending messages
    Write,
    /// Making rooms, changing them, and who belongs to them
    Rooms,
    /// Locking users out, and letting them in again
    Admin,
}

/// Flags as they were written; they are checked together with variables and file.
#[derive(Clone, Debug, Default, Args)]
pub struct Flags {
    /// TOML file with settings
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Port of the page; 0 picks a free one [default: 9091]
    #[arg(long, global = true, value_name = "PORT", allow_hyphen_values = true)]
    port: Option<String>,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, global = true, value_name = "ADDRESS")]
    bind: Option<String>,
    /// Let the local network in: listen on all interfaces, print the address and a QR code
    #[arg(long, global = true)]
    lan: bool,
    /// MQTT broker, as mqtt://user:password@host:1883, or mqtts://… for TLS [default: an embedded one]
    #[arg(long, global = true, value_name = "URL")]
    broker: Option<String>,
    /// Open the embedded broker to devices at this address, such as 0.0.0.0:1883
    #[arg(long, global = true, value_name = "ADDRESS")]
    broker_listen: Option<String>,
    /// Let devices in without a login
    #[arg(long, global = true)]
    broker_anonymous: bool,
    /// Configuration of the embedded broker, in rumqttd's format [default: compiled in]
    #[arg(long, global = true, value_name = "FILE")]
    broker_config: Option<String>,
    /// Directory of the database and the secrets [default: ~/.local/share/mqttchat]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
    /// PostgreSQL database instead of the one in the data directory, shared by many nodes: postgres://user:password@host/name
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
    /// Serve the page from this directory while working on it
    #[arg(long = "static", global = true, value_name = "DIR")]
    page: Option<String>,
    /// Speak TLS with this certificate: a PEM file, with the certificates of its issuers behind it
    #[arg(long, global = true, value_name = "FILE")]
    tls_cert: Option<String>,
    /// The certificate's private key, a PEM file; SIGHUP reads both again
    #[arg(long, global = true, value_name = "FILE")]
    tls_key: Option<String>,
    /// Answer plain HTTP at this address, such as 0.0.0.0:80, with a redirection to HTTPS
    #[arg(long, global = true, value_name = "ADDRESS")]
    tls_redirect: Option<String>,
    /// Answer the two calls of the course lab, /send/ and /messages/, which know no login
    #[arg(long, global = true)]
    lab_api: bool,
    /// How log lines look: human or json [default: human]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// What is logged: error, warn, info, debug, trace, or directives as RUST_LOG has them [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Flags {
    /// The flags that were given, by the key of their setting.
    pub(crate) fn values(&self) -> Vec<(&'static str, Value)> {
        let texts = [
            ("port", &self.port),
            ("bind", &self.bind),
            ("broker", &self.broker),
            ("broker_listen", &self.broker_listen),
            ("broker_config", &self.broker_config),
            ("data", &self.data),
            ("database", &self.database),
            ("static", &self.page),
            ("tls_cert", &self.tls_cert),
            ("tls_key", &self.tls_key),
            ("tls_redirect", &self.tls_redirect),
            ("log_format", &self.log_format),
            ("log_level", &self.log_level),
        ];
        let switches =
            [("lan", self.lan), ("broker_anonymous", self.broker_anonymous), ("lab_api", self.lab_api)];
        texts
            .into_iter()
            .filter_map(|(key, text)| Some((key, Value::Text(text.clone()?))))
            .chain(switches.into_iter().filter(|(_, on)| *on).map(|(key, on)| (key, Value::Bool(on))))
            .collect()
    }
}

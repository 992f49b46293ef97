//! Settings: which source wins, and what wrong ones are answered with.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail tests")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Parser;
use mqttchat::{AuthConfig, BrokerChoice, Cli, Config, ConfigError, JwtPlace, Layers, LogFormat, Signing};
use tempfile::TempDir;

/// What is given to a server: a file, variables, flags.
#[derive(Default)]
struct Given<'a> {
    file: Option<&'a str>,
    variables: &'a [(&'a str, &'a str)],
    flags: &'a [&'a str],
}

impl Given<'_> {
    fn read(&self) -> (Result<Config, ConfigError>, TempDir) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("mqttchat.toml");
        let mut arguments = vec!["mqttchat".into()];
        if let Some(text) = self.file {
            std::fs::write(&path, text).unwrap();
            arguments.extend([PathBuf::from("--config"), path]);
        }
        arguments.extend(self.flags.iter().map(PathBuf::from));
        let cli = Cli::try_parse_from(arguments).unwrap();
        let variables = self.variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let checked = Layers::read(&cli.flags, variables)
            .and_then(|layers| Config::check(&layers, Some(Path::new("/home/ann/.local/share"))));
        (checked, dir)
    }

    fn config(&self) -> Config {
        self.read().0.unwrap()
    }

    /// The sentence, with the directory of the file left out.
    fn refusal(&self) -> String {
        let (checked, dir) = self.read();
        let sentence = checked.unwrap_err().to_string();
        assert!(!sentence.contains('\n'), "{sentence}");
        sentence.replace(&format!("{}/", dir.path().display()), "")
    }
}

fn of_file(text: &str) -> Given<'_> {
    Given { file: Some(text), ..Given::default() }
}

fn of_flags<'a>(flags: &'a [&'a str]) -> Given<'a> {
    Given { flags, ..Given::default() }
}

fn of_variables<'a>(variables: &'a [(&'a str, &'a str)]) -> Given<'a> {
    Given { variables, ..Given::default() }
}

#[test]
fn the_defaults() {
    let config = Given::default().config();
    assert_eq!(config.listen, "127.0.0.1:9091".parse::<SocketAddr>().unwrap());
    assert_eq!(config.data, Path::new("/home/ann/.local/share/mqttchat"));
    assert_eq!(config.broker, BrokerChoice::Embedded { config: None, devices: None });
    assert_eq!((config.quota.total, config.quota.per_address), (10_000, 2_000));
    assert_eq!((config.rates.messages_per_second, config.rates.burst), (20, 100));
    assert_eq!((config.limits.text, config.limits.frame, config.limits.history), (4096, 65_536, 200));
    assert_eq!((config.log.format, config.log.level.as_str()), (LogFormat::Human, "info"));
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let file =
        Some("port = 1\nbind = \"127.0.0.2\"\nlog_format = \"json\"\n[limits]\ntext = 10\nburst = 11\n");
    let variables =
        &[("MQTTCHAT_PORT", "2"), ("MQTTCHAT_BIND", "127.0.0.3"), ("MQTTCHAT_LIMITS__TEXT", "20")][..];
    let config = Given { file, variables, flags: &["--port", "3"] }.config();
    assert_eq!(config.listen, "127.0.0.3:3".parse::<SocketAddr>().unwrap());
    assert_eq!((config.limits.text, config.rates.burst, config.log.format), (20, 11, LogFormat::Json));
}

#[test]
fn the_file_can_be_named_by_a_variable() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("x.toml");
    std::fs::write(&file, "port = 77").unwrap();
    let config = of_variables(&[("MQTTCHAT_CONFIG", file.to_str().unwrap())]).config();
    assert_eq!(config.listen.port(), 77);
}

#[test]
fn every_kind_of_value_from_a_variable() {
    let config = of_variables(&[
        ("MQTTCHAT_LAN", "true"),
        ("MQTTCHAT_MQTT__INGEST", "false"),
        ("MQTTCHAT_MQTT__PREFIX", "site/chat"),
        ("MQTTCHAT_HTTP__ORIGINS", "https://a.example, http://b.example:8080"),
        ("MQTTCHAT_HTTP__HOSTS", "Chat.Example"),
        ("MQTTCHAT_BROKER", "mqtt://ann:s%40crypt@broker.example"),
    ])
    .config();
    assert!(config.lan && config.listen.ip().is_unspecified() && !config.ingest);
    assert_eq!((config.prefix.as_str(), config.origins.len()), ("site/chat/", 2));
    assert_eq!(config.hosts, ["chat.example"]);
    let BrokerChoice::External(url) = config.broker else { panic!("{:?}", config.broker) };
    assert_eq!(
        (url.host.as_str(), url.port, url.password.as_deref()),
        ("broker.example", 1883, Some("s@crypt"))
    );
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_what_is_allowed() {
    let number = "a number from 0 to 65535";
    assert_eq!(of_flags(&["--port", "http"]).refusal(), format!("--port has to be {number}, not \"http\""));
    assert_eq!(of_flags(&["--port", "-1"]).refusal(), format!("--port has to be {number}, not \"-1\""));
    let variable = of_variables(&[("MQTTCHAT_LIMITS__HISTORY", "0")]).refusal();
    assert_eq!(variable, "MQTTCHAT_LIMITS__HISTORY has to be a number from 1 to 1000, not \"0\"");
    let file = of_file("bind = \"::\"\n\nport = 70000\n").refusal();
    assert_eq!(file, format!("mqttchat.toml, line 3: port has to be {number}, not 70000"));
    for (text, sentence) in [
        ("port = \"many\"", "line 1: port has to be a number"),
        ("[limits]\ntext = -1", "line 2: limits.text has to be a number from 1 to"),
        ("[limits]\ntext = 1.5", "not a number with a fraction"),
        (
            "[mqtt]\nprivate = \"some\"",
            "line 2: mqtt.private has to be \"auto\", \"full\" or \"bell\", not \"some\"",
        ),
        ("[mqtt]\nprefix = \"a+b\"", "mqtt.prefix has to be empty, or topic levels"),
        ("[mqtt]\ningest = 1", "mqtt.ingest has to be true or false, not 1"),
        ("[http]\norigins = [\"chat.example\"]", "http.origins has to be origins such as"),
        ("[http]\nhosts = [1]", "not a list of other things than texts"),
        ("[auth]\nmode = \"trust\"", "auth.mode has to be \"guest\" or \"jwt\", not \"trust\""),
        ("log_format = \"xml\"", "log_format has to be \"human\" or \"json\", not \"xml\""),
        ("log_level = \"loud\"", "log_level has to be error, warn"),
        ("port = ", "mqttchat.toml, line 1: "),
        ("a = 1\nb = [\n", "mqttchat.toml, line "),
    ] {
        let refusal = of_file(text).refusal();
        assert!(refusal.contains(sentence), "{text:?}: {refusal}");
    }
}

#[test]
fn unknown_settings_are_named_with_what_may_have_been_meant() {
    let file = of_file("# a comment\n[limits]\nconections = 1\n").refusal();
    let meant = "there is no setting limits.conections; did you mean limits.connections?";
    assert_eq!(file, format!("mqttchat.toml, line 3: {meant}"));
    assert_eq!(of_file("zebra = 1").refusal(), "mqttchat.toml, line 1: there is no setting zebra");
    assert_eq!(of_file("[zoo]\nport = 1").refusal(), "mqttchat.toml, line 1: there is no setting zoo");
    assert_eq!(
        of_file("limits = 1").refusal(),
        "mqttchat.toml, line 1: limits is a section of settings, and takes no value itself"
    );
    let variable = of_variables(&[("MQTTCHAT_LIMITS__TXT", "1")]).refusal();
    assert!(variable.contains("MQTTCHAT_LIMITS__TXT; did you mean limits.text?"), "{variable}");
}

#[test]
fn a_variable_that_may_be_somebody_elses_is_only_warned_of() {
    let environment = [("MQTTCHAT_SERVICE_HOST", "10.0.0.1"), ("MQTTCHAT_PROT", "1"), ("OTHER_PORT", "1")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let cli = Cli::try_parse_from(["mqttchat"]).unwrap();
    let layers = Layers::read(&cli.flags, environment).unwrap();
    assert_eq!(
        layers.warnings(),
        ["MQTTCHAT_PROT is not a setting and has no effect; did you mean MQTTCHAT_PORT?"]
    );
}

#[test]
fn what_comes_later_is_refused_by_name() {
    let file = of_file("[mqtt]\nclients = \"shared\"").refusal();
    assert!(file.ends_with("is not available in this version"), "{file}");
    let variable = of_variables(&[("MQTTCHAT_MQTT__CLIENTS", "x")]).refusal();
    assert!(variable.ends_with("MQTTCHAT_MQTT__CLIENTS is not available in this version"), "{variable}");
}

#[test]
fn tls_to_the_broker_is_said_as_a_whole() {
    let given =
        of_file("broker = \"mqtts://b.example\"\n[mqtt]\nca = \"ca.pem\"\ncert = \"c.pem\"\nkey = \"k.pem\"");
    let BrokerChoice::External(url) = given.config().broker else { panic!("another broker") };
    let tls = url.tls.unwrap();
    assert_eq!(tls.authorities.as_deref(), Some(Path::new("ca.pem")));
    assert_eq!(tls.identity.map(|identity| identity.key), Some("k.pem".into()));
    for text in [
        "[mqtt]\nca = \"ca.pem\"",
        "broker = \"mqtt://b.example\"\n[mqtt]\nca = \"ca.pem\"",
        "broker = \"mqtts://b.example\"\n[mqtt]\ncert = \"c.pem\"",
    ] {
        assert!(of_file(text).refusal().contains("mqtt.cert and mqtt.key"), "{text}");
    }
}

#[test]
fn who_is_let_in() {
    assert_eq!(of_file("").config().auth, AuthConfig::default());
    let jwt = "[auth]\nmode = \"jwt\"\nsigning = \"required\"\n[auth.jwt]\n";
    let config = of_file(&format!("{jwt}key_file = \"k\"\nissuer = \"i\"\naudience = \"a\"\n")).config();
    assert_eq!(config.auth.signing, Signing::Required);
    let rules = config.auth.jwt.unwrap();
    assert_eq!((rules.keys, rules.leeway), (JwtPlace::File("k".into()), 5));
    assert_eq!((rules.issuer.as_deref(), &rules.audience[..]), (Some("i"), &["a".to_owned()][..]));
    let environment = [
        ("MQTTCHAT_AUTH__MODE", "jwt"),
        ("MQTTCHAT_AUTH__JWT__JWKS_URL", "http://127.0.0.1:1/k?token=hunter2"),
    ];
    let config = of_variables(&environment).config();
    assert!(!format!("{config:?}").contains("hunter2"));
    for (text, sentence) in [
        ("", "give auth.jwt.key_file or auth.jwt.jwks_url"),
        ("key_file = \"k\"\njwks_url = \"http://x/\"", "give one of them"),
        ("jwks_url = \"ftp://x/\"", "auth.jwt.jwks_url has to be like https://"),
        ("jwks_url = \"https://x/\"\nalgorithms = [\"HS256\"]", "can't come from auth.jwt.jwks_url"),
        ("key_file = \"k\"\nalgorithms = [\"none\"]", "auth.jwt.algorithms has to be a list of HS256"),
        ("key_file = \"k\"\nalgorithms = []", "auth.jwt.algorithms names none"),
        ("key_file = \"k\"\nleeway = 3600", "auth.jwt.leeway has to be a number from 0 to 300"),
    ] {
        let refusal = of_file(&format!("{jwt}{text}")).refusal();
        assert!(refusal.contains(sentence), "{text}: {refusal}");
    }
}

#[test]
fn a_password_is_never_repeated() {
    for url in
        ["mqtt://ann:hunter2@x:0", "http://ann:hunter2@x", "mqtts://ann:hunter2@x:0", "mqtt://ann:hunter2@"]
    {
        let refusal = of_flags(&["--broker", url]).refusal();
        assert!(refusal.starts_with("--broker ") && !refusal.contains("hunter2"), "{refusal}");
    }
    let config = of_flags(&["--broker", "mqtt://ann:hunter2@x"]).config();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn settings_that_exclude_each_other() {
    for (flags, names) in [
        (&["--lan", "--bind", "192.0.2.1"][..], ["lan", "bind"]),
        (&["--broker-anonymous"], ["broker_anonymous", "broker_listen"]),
        (&["--broker", "mqtt://x", "--broker-listen", "127.0.0.1:1883"], ["broker_listen", "broker"]),
        (&["--broker", "mqtt://x", "--broker-config", "b.toml"], ["broker_config", "broker"]),
    ] {
        let refusal = of_flags(flags).refusal();
        assert!(names.iter().all(|name| refusal.contains(name)), "{refusal}");
    }
    assert!(of_file("[limits]\ntext = 5000\nframe = 4000").refusal().contains("has to fit into a frame"));
}

#[test]
fn lan_and_bind_from_different_places() {
    let lan = |file, flags| Given { file: Some(file), flags, ..Given::default() }.config();
    let config = lan("bind = \"127.0.0.1\"", &["--lan"]);
    assert!(config.lan && config.listen.ip().is_unspecified());
    let config = lan("lan = true", &["--bind", "127.0.0.1"]);
    assert!(!config.lan && config.listen.ip().is_loopback());
    // What `default-config` prints names bind; turning lan on there is enough.
    let config = lan("bind = \"127.0.0.1\"\nlan = true", &[]);
    assert!(config.lan && config.listen.ip().is_unspecified());
}

#[test]
fn without_a_home_the_data_directory_has_to_be_given() {
    let cli = Cli::try_parse_from(["mqttchat"]).unwrap();
    let layers = Layers::read(&cli.flags, []).unwrap();
    assert!(Config::check(&layers, None).unwrap_err().to_string().contains("--data"));
}

#[test]
fn the_webhook_is_checked_and_its_secrets_stay_secret() {
    assert_eq!(of_file("[webhook]\nafter = 5").config().webhook, None, "nothing is told without a URL");
    let webhook = of_file("[webhook]\nurl = \"https://x.example/y\"").config().webhook.unwrap();
    assert_eq!((webhook.messages, webhook.undelivered, webhook.after.as_secs()), (false, true, 60));
    let variables = [
        ("MQTTCHAT_WEBHOOK__URL", "http://127.0.0.1:9/"),
        ("MQTTCHAT_WEBHOOK__EVENTS", "message, private.undelivered"),
    ];
    let webhook = of_variables(&variables).config().webhook.unwrap();
    assert!(webhook.messages && webhook.undelivered);
    for (text, part) in [
        ("url = \"x.example/hidden\"", "has to be like https://"),
        ("url = \"https://me:hidden@x.example/\"", "can't have a login"),
        ("url = \"https://x.example/\"\nsecret = \"hidden\"", "16 bytes"),
        ("secret = \"hidden hidden hidden\"", "webhook.url"),
        ("url = \"https://x.example/\"\nevents = []", "names nothing"),
        ("url = \"https://x.example/\"\nevents = [\"everything\"]", "private.undelivered"),
        ("after = 0", "a number from 1"),
    ] {
        let refusal = of_file(&format!("[webhook]\n{text}")).refusal();
        assert!(refusal.contains(part) && !refusal.contains("hidden"), "{refusal}");
    }
    let debug = format!("{:?}", of_file("[webhook]\nurl = \"https://x.example/hidden\"").config());
    assert!(!debug.contains("hidden"), "{debug}");
}

#[test]
fn the_labs_calls_and_history_over_mqtt_are_off_until_they_are_wanted() {
    let config = of_file("").config();
    assert!(!config.lab_api && !config.history);
    assert!(of_flags(&["--lab-api"]).config().lab_api);
    assert!(of_file("[mqtt]\nhistory = true").config().history);
}

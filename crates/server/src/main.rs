//! The command `mqttchat`.

mod announce;
mod memory;
mod stop;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use mqttchat::{
    ChatServer, Cli, Command, Config, DEFAULT_CONFIG, Layers, Said, StartError, apikey, check_files, files,
    healthcheck, secret, telemetry, user,
};

/// The status for a wrong setting, and for a server that can't start.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return answer(&error.render().to_string());
        }
        Err(error) => return refused(&one_line(&error)),
    };
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            let code = refused(&error.to_string());
            let nothing_there = matches!(error.downcast_ref(), Some(StartError::NoDatabase { .. }));
            if nothing_there { ExitCode::FAILURE } else { code }
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Some(Command::DefaultConfig) => return Ok(answer(DEFAULT_CONFIG)),
        Some(Command::Version) => return Ok(answer(&format!("mqttchat {}\n", env!("CARGO_PKG_VERSION")))),
        _ => {}
    }
    let layers = Layers::read(&cli.flags, variables()).map_err(StartError::from)?;
    if let Some(Command::Healthcheck { url }) = &cli.command {
        let listen = Config::listen_of(&layers).map_err(StartError::from)?;
        return Ok(check_health(
            &url.clone().unwrap_or_else(|| healthcheck::url_of(listen, Config::is_https(&layers))),
        ));
    }
    let config = Config::check(&layers, data_home().as_deref()).map_err(StartError::from)?;
    match &cli.command {
        Some(Command::CheckConfig) => {
            for warning in layers.warnings() {
                complain(warning);
            }
            for complaint in check_files(&config)? {
                complain(&complaint);
            }
            Ok(answer("the settings are good\n"))
        }
        Some(Command::Apikey { command }) => said(apikey(&config, command)),
        Some(Command::User { command }) => said(user(&config, command)),
        Some(Command::Secret { command }) => said(secret(&config, command)),
        _ => serve(config, layers.warnings()),
    }
}

/// Carries out a command beside the server, and says what it has to say.
fn said(command: impl Future<Output = anyhow::Result<Said>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let said = runtime.block_on(command)?;
    if let Some(remark) = &said.remark {
        complain(remark);
    }
    Ok(answer(&said.answer))
}

fn check_health(url: &str) -> ExitCode {
    match healthcheck::ask(url) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config, warnings: &[String]) -> anyhow::Result<ExitCode> {
    memory::use_small_pages();
    telemetry::log_to_stderr(&config.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    files::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let stop = stop::Stop::on_signals()?;
        let (data, lan) = (config.data.clone(), config.lan);
        let server = ChatServer::bind(config).await?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), data = %data.display(), url = server.url(), "started");
        if let Err(error) = say(&announce::ready(&server, lan)) {
            tracing::warn!(%error, "nobody reads what is printed");
        }
        server.reload().on_hangup()?;
        server.run_until(stop.asked()).await?;
        anyhow::Ok(())
    });
    // What still runs on blocking threads has nothing to keep.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

/// Variables whose name and value are text.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Where this user keeps data (XDG Base Directory Specification; a relative path there is to be ignored).
fn data_home() -> Option<PathBuf> {
    let directory = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    directory("XDG_DATA_HOME").or_else(|| Some(directory("HOME")?.join(".local/share")))
}

/// Writes to standard output at once, whatever is behind it.
fn say(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes all that a command has to say, and gives its status.
fn answer(text: &str) -> ExitCode {
    if say(text).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes one line to standard error; there is nowhere to report that this failed.
fn complain(sentence: &str) {
    let _ = writeln!(io::stderr(), "mqttchat: {sentence}");
}

fn refused(sentence: &str) -> ExitCode {
    complain(&sentence.replace('\n', " "));
    ExitCode::from(REFUSED)
}

/// What is wrong with the command line, and the hint, without the usage that clap prints below.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let paragraphs: Vec<&str> = text
        .split("\n\n")
        .filter(|paragraph| {
            !paragraph.starts_with("Usage:") && !paragraph.starts_with("For more information")
        })
        .map(str::trim)
        .collect();
    let line = paragraphs.join("; ").replace('\n', " ");
    line.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ")
}

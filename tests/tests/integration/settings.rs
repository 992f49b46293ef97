//! The command line, and what wrong settings are answered with.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use mqttchat_e2e::app::{self, Ended};
use mqttchat_e2e::{App, eventually};
use rusqlite::Connection;

/// Status 2, and one sentence that names what is wrong; nothing on standard output, no panic.
fn assert_refused(ended: &Ended, names: &[&str]) {
    assert_eq!(ended.status, Some(2), "{ended:?}");
    for name in names {
        assert!(ended.stderr.contains(name), "{name:?} is not named: {ended:?}");
    }
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    assert!(!ended.stdout.contains("is ready at"), "{ended:?}");
}

/// As [`assert_refused`], and the sentence is one line.
fn assert_one_sentence(ended: &Ended, names: &[&str]) {
    assert_refused(ended, names);
    let said: Vec<_> = ended.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(said.len(), 1, "one clear sentence was expected: {ended:?}");
}

fn args(parts: &[&str], data: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = parts.iter().map(OsString::from).collect();
    args.extend([OsString::from("--data"), data.into()]);
    args
}

#[tokio::test]
async fn a_port_in_use() -> Result<()> {
    let home = tempfile::tempdir()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let ended = app::run(args(&["--port", &port], &home.path().join("data"))).await?;
    assert_one_sentence(&ended, &[&port]);
    Ok(())
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_made() -> Result<()> {
    let home = tempfile::tempdir()?;
    let file = home.path().join("a-file");
    std::fs::write(&file, "in the way")?;
    let data = file.join("data");
    let ended = app::run(args(&["--port", "0"], &data)).await?;
    assert_one_sentence(&ended, &[&data.display().to_string()]);
    Ok(())
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_written() -> Result<()> {
    // Root may write anywhere but into the kernel's own tables.
    let ended = app::run(args(&["--port", "0"], Path::new("/proc/sys"))).await?;
    assert_one_sentence(&ended, &["/proc/sys"]);
    Ok(())
}

#[tokio::test]
async fn a_database_from_a_newer_version() -> Result<()> {
    let mut app = App::start().await?;
    app.user("Ann").await?.say("public", "from the future").await?;
    app.stop().await?;
    let database = database(&app.data())?;
    make_newer(&database)?;
    let ended = app::run(args(&["--port", "0"], &app.data())).await?;
    assert_one_sentence(&ended, &["newer"]);
    Ok(())
}

fn database(data: &Path) -> Result<std::path::PathBuf> {
    let files = std::fs::read_dir(data)?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_sqlite =
        |path: &std::path::PathBuf| std::fs::read(path).is_ok_and(|b| b.starts_with(b"SQLite format 3\0"));
    { files }.find(is_sqlite).context("no database in the data directory")
}

/// Raises the version that the database carries, as a later release would have done.
fn make_newer(database: &Path) -> Result<()> {
    let connection = Connection::open(database)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    anyhow::ensure!(version > 0, "the version of the schema is not where this test looks for it");
    connection.pragma_update(None, "user_version", version + 1)?;
    Ok(())
}

#[tokio::test]
async fn a_damaged_database() -> Result<()> {
    let mut app = App::start().await?;
    app.stop().await?;
    std::fs::write(database(&app.data())?, "this is no database ".repeat(500))?;
    let ended = app::run(args(&["--port", "0"], &app.data())).await?;
    assert_one_sentence(&ended, &["database"]);
    Ok(())
}

#[tokio::test]
async fn two_servers_cannot_share_a_data_directory() -> Result<()> {
    let app = App::start().await?;
    let ended = app::run(args(&["--port", "0"], &app.data())).await?;
    assert_one_sentence(&ended, &[&app.data().display().to_string()]);
    app.user("Ann").await?.say("public", "undisturbed").await?;
    Ok(())
}

#[tokio::test]
async fn wrong_arguments() -> Result<()> {
    let home = tempfile::tempdir()?;
    let data = home.path().join("data");
    for (given, names) in [
        (vec!["--port", "70000"], vec!["70000", "--port"]),
        (vec!["--port", "http"], vec!["http", "--port"]),
        (vec!["--bind", "nowhere.invalid.name!"], vec!["--bind"]),
        (vec!["--bind", "192.0.2.1", "--port", "0"], vec!["192.0.2.1"]),
        (vec!["--broker", "http://127.0.0.1:1883", "--port", "0"], vec!["mqtt://"]),
        (vec!["--broker", "mqtt://", "--port", "0"], vec!["broker"]),
        (vec!["--no-such-flag"], vec!["--no-such-flag"]),
        (vec!["--static", "/nonexistent/static", "--port", "0"], vec!["/nonexistent/static"]),
        (vec!["--config", "/nonexistent/mqttchat.toml"], vec!["/nonexistent/mqttchat.toml"]),
        (vec!["--log-format", "xml"], vec!["xml"]),
    ] {
        let ended = app::run(args(&given, &data)).await?;
        assert_refused(&ended, &names);
    }
    assert!(!data.exists(), "a refused start leaves nothing behind");
    Ok(())
}

#[tokio::test]
async fn wrong_configuration_files_name_the_key() -> Result<()> {
    let home = tempfile::tempdir()?;
    let file = home.path().join("mqttchat.toml");
    let path = file.display().to_string();
    for (toml, names) in [
        ("port = \"many\"", vec!["port"]),
        ("no_such_key = 1", vec!["no_such_key"]),
        ("[limits]\ntext = -1", vec!["text"]),
        ("[limits]\nno_such_limit = 1", vec!["no_such_limit"]),
        ("port = ", vec!["mqttchat.toml"]),
        ("[auth]\nmode = \"trust\"", vec!["mode"]),
    ] {
        std::fs::write(&file, toml)?;
        for ended in [
            app::run(["check-config", "--config", &path]).await?,
            app::run(args(&["--config", &path], &home.path().join("data"))).await?,
        ] {
            assert_refused(&ended, &names);
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_default_configuration_is_a_good_one() -> Result<()> {
    let printed = app::run(["default-config"]).await?;
    assert_eq!((printed.status, printed.stderr.as_str()), (Some(0), ""));
    assert!(
        printed.stdout.contains("messages_per_second") && printed.stdout.contains('#'),
        "{}",
        printed.stdout
    );
    let home = tempfile::tempdir()?;
    let file = home.path().join("mqttchat.toml");
    std::fs::write(&file, &printed.stdout)?;
    let checked = app::run(["check-config".as_ref(), "--config".as_ref(), file.as_os_str()]).await?;
    assert_eq!(checked.status, Some(0), "{checked:?}");

    let app = App::builder().config(&printed.stdout).start().await?;
    app.user("Ann").await?.say("public", "by the book").await?;
    Ok(())
}

#[tokio::test]
async fn a_flag_beats_a_variable_and_a_variable_beats_the_file() -> Result<()> {
    let limit = async |app: App| {
        Ok::<_, anyhow::Error>(app.user("Ann").await?.ready["data"]["limits"]["text"].clone())
    };
    let file = "[limits]\ntext = 100\n";
    assert_eq!(limit(App::builder().config(file).start().await?).await?, 100);
    let app = App::builder().config(file).variable("MQTTCHAT_LIMITS__TEXT", "200").start().await?;
    assert_eq!(limit(app).await?, 200);

    // The harness passes --port 0 and --data: neither the file nor the variables can win over them.
    let file = "port = 1\ndata = \"/nonexistent/of-the-file\"\n";
    let app = App::builder().config(file).variable("MQTTCHAT_PORT", "2").start().await?;
    assert!(app.address().port() > 2);
    assert!(app.data().is_dir());
    Ok(())
}

#[tokio::test]
async fn the_data_directory_is_private_and_named() -> Result<()> {
    let app = App::start().await?;
    let mode = std::fs::metadata(app.data())?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    for entry in std::fs::read_dir(app.data())? {
        let entry = entry?;
        let mode = entry.metadata()?.permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", entry.path().display());
    }
    let data = app.data().display().to_string();
    assert!(app.output().iter().any(|line| line.contains(&data)), "{:?}", app.output());
    Ok(())
}

#[tokio::test]
async fn the_ready_line_comes_when_it_serves() -> Result<()> {
    let app = App::start().await?;
    assert_eq!(app.get("/readyz").await?.status.as_u16(), 200);
    let ready = app.output().into_iter().filter(|line| line.contains("mqttchat is ready at")).count();
    assert_eq!(ready, 1);
    Ok(())
}

#[tokio::test]
async fn logs_can_be_json() -> Result<()> {
    let app = App::builder().args(["--log-format", "json"]).start().await?;
    let mut ann = app.member("Ann").await?;
    ann.say("public", "a secret between us").await?;
    let token = ann.token.clone();
    eventually("JSON lines in the log", async || {
        let json = |line: &String| {
            serde_json::from_str::<serde_json::Value>(line).is_ok_and(|value| value.is_object())
        };
        Ok(app.output().iter().any(json).then_some(()))
    })
    .await?;
    for line in app.output() {
        assert!(!line.contains("a secret between us") && !line.contains(&token), "{line}");
        let fine = line.starts_with('{') || line.contains("mqttchat is ready at") || !line.contains("INFO");
        assert!(fine, "not JSON: {line}");
    }
    Ok(())
}

#[tokio::test]
async fn the_health_check_command_tells_by_its_status() -> Result<()> {
    let mut app = App::builder().keeps_port()?.start().await?;
    let port = app.address().port().to_string();
    let healthy = app::run(["healthcheck", "--port", &port]).await?;
    assert_eq!(healthy.status, Some(0), "{healthy:?}");
    app.stop().await?;
    let gone = app::run(["healthcheck", "--port", &port]).await?;
    assert_eq!(gone.status, Some(1), "{gone:?}");
    Ok(())
}

#[tokio::test]
async fn version_and_help() -> Result<()> {
    let version = app::run(["--version"]).await?;
    assert_eq!(version.status, Some(0));
    assert!(version.stdout.starts_with("mqttchat "), "{version:?}");
    let help = app::run(["--help"]).await?;
    assert_eq!(help.status, Some(0));
    for flag in
        ["--port", "--bind", "--lan", "--broker", "--broker-listen", "--data", "--config", "--log-format"]
    {
        assert!(help.stdout.contains(flag), "{flag} is not in the help");
    }
    Ok(())
}

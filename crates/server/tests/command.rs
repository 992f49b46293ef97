//! The binary itself: what it prints, its exit status, and what it leaves behind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

fn mqttchat(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqttchat"));
    // Nothing of this machine's own settings.
    command.env_clear().env("HOME", home).args(arguments);
    command
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    mqttchat(home, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A server that is killed when the test is over, however that ends.
struct Running {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    url: String,
}

impl Running {
    fn start(home: &Path, arguments: &[&str]) -> Self {
        let mut child =
            mqttchat(home, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let Some(url) = line.strip_prefix("mqttchat is ready at http://") else {
            let mut why = String::new();
            child.stderr.take().unwrap().read_to_string(&mut why).unwrap();
            panic!("it printed {line:?} and said {why}");
        };
        Self { url: url.trim_end().to_owned(), child, stdout }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.url).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.url).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it; gives the status, what else it printed, and its log.
    fn stop(mut self) -> (Option<i32>, String, String) {
        self.signal(Signal::TERM);
        let (mut printed, mut log) = (String::new(), String::new());
        self.stdout.read_to_string(&mut printed).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), printed, log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_starts_serves_and_stops() {
    let home = TempDir::new().unwrap();
    let server = Running::start(home.path(), &["--port", "0"]);
    assert!(server.get("/").starts_with("HTTP/1.1 200 "));
    assert!(server.get("/readyz").starts_with("HTTP/1.1 200 "), "{}", server.get("/readyz"));
    let metrics = server.get("/metrics");
    for name in ["process_resident_memory_bytes ", "mqttchat_http_connections ", "process_cpu_seconds_total "]
    {
        assert!(metrics.contains(&format!("\n{name}")), "{name} is not in {metrics}");
    }
    let url = format!("http://{}/healthz", server.url);
    assert_eq!(run(home.path(), &["healthcheck", "--url", &url]).status.code(), Some(0));
    let (_, port) = server.url.rsplit_once(':').unwrap();
    let homeless =
        mqttchat(home.path(), &["healthcheck", "--port", port]).env_remove("HOME").output().unwrap();
    assert_eq!(homeless.status.code(), Some(0), "{}", text(&homeless.stderr));
    let (status, printed, log) = server.stop();
    assert_eq!((status, printed.as_str()), (Some(0), ""), "{log}");
    let data = home.path().join(".local/share/mqttchat");
    assert!(log.contains(&data.display().to_string()), "{log}");
    assert_eq!(data.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!log.contains("\u{1b}["), "no colours into a pipe: {log}");
    let gone = run(home.path(), &["healthcheck", "--url", &url]);
    assert_eq!(gone.status.code(), Some(1));
    assert_eq!(text(&gone.stderr).lines().count(), 1, "{}", text(&gone.stderr));
}

/// It was above 40 MB when the allocator took huge pages.
#[test]
fn an_idle_server_is_small() {
    let home = TempDir::new().unwrap();
    let server = Running::start(home.path(), &["--port", "0"]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let resident: u64 = value("VmRSS:").unwrap().strip_suffix(" kB").unwrap().parse().unwrap();
    assert!(resident < 40_000, "{resident} kB");
    // Kernels before 5.0 don't say.
    assert!(matches!(value("THP_enabled:"), None | Some("0")), "{status}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let home = TempDir::new().unwrap();
    let mut server = Running::start(home.path(), &["--port", "0"]);
    // A request that never ends makes stopping last a moment.
    let mut slow = TcpStream::connect(&server.url).unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n").unwrap();
    let mut log = BufReader::new(server.child.stderr.take().unwrap());
    server.signal(Signal::INT);
    let mut line = String::new();
    while !line.contains("stopping") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0);
    }
    server.signal(Signal::INT);
    let status = server.child.wait().unwrap().code();
    // It may have been done already.
    assert!(matches!(status, Some(130 | 0)), "{status:?}");
}

#[test]
fn json_is_all_there_is_in_the_log() {
    let home = TempDir::new().unwrap();
    let (_, _, log) = Running::start(home.path(), &["--port", "0", "--log-format", "json"]).stop();
    assert!(log.lines().count() >= 2);
    for line in log.lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    }
}

#[test]
fn devices_get_their_login_once() {
    let home = TempDir::new().unwrap();
    let arguments = ["--port", "0", "--broker-listen", "127.0.0.1:0"];
    let login = || {
        let (_, printed, log) = Running::start(home.path(), &arguments).stop();
        let line = printed.lines().find(|line| line.contains("mosquitto_pub")).unwrap().to_owned();
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |flag: &str| words[words.iter().position(|word| *word == flag).unwrap() + 1].to_owned();
        assert_eq!(after("-u"), "device");
        assert!(!log.contains(&after("-P")), "no password in a log");
        after("-P")
    };
    let first = login();
    assert!(first.len() >= 16);
    assert_eq!(login(), first);
    let open = [&arguments[..], &["--broker-anonymous"]].concat();
    let (_, printed, _) = Running::start(home.path(), &open).stop();
    assert!(printed.contains("mosquitto_pub") && !printed.contains("-P"), "{printed}");
}

#[test]
fn the_local_network_is_shown_the_way() {
    let home = TempDir::new().unwrap();
    let server = Running::start(home.path(), &["--port", "0", "--lan"]);
    assert!(server.url.starts_with("127.0.0.1:"));
    let (_, printed, _) = server.stop();
    assert!(
        printed.contains("on this network: http://") && printed.contains('█')
            || printed.contains("no address")
    );
}

#[test]
fn refusals_are_one_sentence_with_status_2() {
    let home = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (port, device) = (address.port().to_string(), address.to_string());
    let free = ["--port", "0"];
    for (arguments, names) in [
        (&["--port", &port][..], &[device.as_str(), "in use"][..]),
        (&["--bind", "192.0.2.1"], &["192.0.2.1", "doesn't have"]),
        (&[&free[..], &["--data", "/proc/sys"]].concat(), &["/proc/sys"]),
        (&[&free[..], &["--broker", "mqtts://"]].concat(), &["--broker", "TLS"]),
        (&[&free[..], &["--static", "/nowhere"]].concat(), &["--static", "/nowhere"]),
        (&["--config", "/nowhere.toml"], &["/nowhere.toml"]),
        (&["--no-such-flag"], &["--no-such-flag"]),
        (&["--prot", "1"], &["--prot", "--port"]),
        (&["chekc-config"], &["chekc-config", "check-config"]),
    ] {
        let output = run(home.path(), arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("mqttchat: ") && !said.contains("panicked"), "{said}");
        assert!(!said.contains("os error 98"), "the cause is said once: {said}");
        assert!(names.iter().all(|name| said.contains(name)), "{arguments:?}: {said}");
    }
    assert!(!home.path().join(".local").exists(), "a refused start leaves nothing behind");
}

#[test]
fn a_taken_device_port_is_named() {
    let home = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(home.path(), &["--port", "0", "--broker-listen", &address]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    let last = text(&output.stderr).lines().last().unwrap();
    assert!(last.starts_with("mqttchat: ") && last.contains(&address), "{last}");
}

#[test]
fn an_external_broker_that_is_away_does_not_stop_the_start() {
    let home = TempDir::new().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("mqtt://ann:hunter2@{nobody}");
    let server = Running::start(home.path(), &["--port", "0", "--broker", &url]);
    let ready = server.get("/readyz");
    assert!(ready.starts_with("HTTP/1.1 503 ") && ready.contains("the broker is away"), "{ready}");
    let (status, _, log) = server.stop();
    assert_eq!(status, Some(0));
    assert!(log.contains("WARN") && log.contains(&nobody.to_string()), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn commands_that_only_print() {
    let home = TempDir::new().unwrap();
    let version = run(home.path(), &["version"]);
    assert_eq!(text(&version.stdout), format!("mqttchat {}\n", env!("CARGO_PKG_VERSION")));
    let default = run(home.path(), &["default-config"]);
    assert_eq!(text(&default.stdout), mqttchat::DEFAULT_CONFIG);
    let file = home.path().join("mqttchat.toml");
    std::fs::write(&file, &default.stdout).unwrap();
    let checked = run(home.path(), &["check-config", "--config", file.to_str().unwrap()]);
    assert_eq!((checked.status.code(), text(&checked.stdout)), (Some(0), "the settings are good\n"));
    std::fs::write(&file, "[limits]\nfrmae = 1\n").unwrap();
    let checked = run(home.path(), &["check-config", "--config", file.to_str().unwrap()]);
    let said = text(&checked.stderr);
    assert_eq!(checked.status.code(), Some(2));
    assert!(said.contains("line 2") && said.contains("did you mean limits.frame?"), "{said}");
}

/// What a start would refuse, `check-config` does.
#[test]
fn the_data_directory_is_looked_at() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    for data in [file.clone(), file.join("below")] {
        for command in [&["check-config"][..], &["--port", "0"]] {
            let output = run(home.path(), &[command, &["--data", data.to_str().unwrap()]].concat());
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
            assert!(said.contains(file.to_str().unwrap()) && said.lines().count() == 1, "{said}");
        }
    }
    let new = home.path().join("new/data");
    assert!(run(home.path(), &["check-config", "--data", new.to_str().unwrap()]).status.success());
    assert!(!home.path().join("new").exists());
}

/// A mistyped place is no server's: who was told "rotated" or saw no users there would be deceived.
#[test]
fn commands_on_users_want_a_database_that_is_there() {
    let home = TempDir::new().unwrap();
    let nowhere = home.path().join("typo");
    let on = |command: &str| {
        let words: Vec<&str> = command.split(' ').chain(["--data", nowhere.to_str().unwrap()]).collect();
        run(home.path(), &words)
    };
    let refused = |command: &str| {
        let output = on(command);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""), "{command}: {said}");
        assert!(said.contains(nowhere.to_str().unwrap()) && said.contains("--data"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    };
    let commands = [
        "user list",
        "user block ann",
        "user unblock ann",
        "user token ann",
        "secret rotate",
        "apikey list",
        "apikey revoke bot",
    ];
    commands.into_iter().for_each(refused);
    assert!(!nowhere.exists(), "nothing is made");
    // A directory that something else made is no database either, nor is a file.
    std::fs::create_dir(&nowhere).unwrap();
    commands.into_iter().for_each(refused);
    assert_eq!(nowhere.read_dir().unwrap().count(), 0);
    std::fs::write(nowhere.join("mqttchat.db"), "").unwrap();
    refused("user list");
    std::fs::remove_file(nowhere.join("mqttchat.db")).unwrap();
    let made = on("apikey create bot");
    assert!(made.status.success() && text(&made.stdout).starts_with("mck_"), "{}", text(&made.stderr));
    assert!(text(&made.stderr).contains("a new database was made"), "{}", text(&made.stderr));
    let made = on("apikey create other");
    assert!(!text(&made.stderr).contains("new database"), "{}", text(&made.stderr));
    assert!(text(&on("user list").stdout).contains("bot"));
    assert!(on("secret rotate").status.success());
}

#[test]
fn keys_of_programs_are_made_and_revoked_while_the_server_runs() {
    let home = tempfile::tempdir().unwrap();
    let key = |arguments: &[&str]| run(home.path(), &[&["apikey"], arguments].concat());
    let before = key(&["create", "early"]);
    assert!(before.status.success(), "{}", text(&before.stderr));
    let server = Running::start(home.path(), &["--port", "0"]);
    let made = key(&["create", "Deploy Bot", "--scope", "read", "--scope", "rooms"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let secret = text(&made.stdout).trim_end();
    assert!(secret.starts_with("mck_") && secret.len() == 47, "{secret}");
    let status = || {
        let mut stream = TcpStream::connect(&server.url).unwrap();
        let url = &server.url;
        write!(stream, "GET /api/v1/users HTTP/1.1\r\nhost: {url}\r\nauthorization: Bearer {secret}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer[9..12].to_owned()
    };
    assert_eq!(status(), "200");
    let list = key(&["list"]);
    assert!(text(&list.stdout).contains("Deploy Bot  deploy-bot  read rooms"), "{}", text(&list.stdout));
    assert!(!text(&list.stdout).contains(secret));
    // Noted behind the answer.
    let deadline = Instant::now() + Duration::from_secs(30);
    let states = || -> Vec<bool> {
        text(&key(&["list"]).stdout).lines().skip(1).map(|line| line.contains("  used ")).collect()
    };
    while states() != [false, true] {
        assert!(Instant::now() < deadline, "whether each was used: {:?}", states());
    }
    assert!(key(&["revoke", "Deploy Bot"]).status.success());
    assert_eq!(status(), "401");
    for refused in [key(&["revoke", "Deploy Bot"]), key(&["create", "early"]), key(&["create", "小明"])] {
        assert_eq!((refused.status.code(), text(&refused.stderr).lines().count()), (Some(2), 1));
    }
}

//! A PostgreSQL server of a test's own: fresh, on a unix socket in a temporary directory, gone when dropped.
//!
//! Takes nothing from the rest of the suite, so that other tests can have it too.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Where Debian has the server's programs, by version; without one they are looked for in the path.
const VERSIONS: &str = "/usr/lib/postgresql";

/// A server with its data. It runs from [`Cluster::start`] until it is dropped.
pub struct Cluster {
    directory: TempDir,
    /// Where it listens on 127.0.0.1, if it does.
    port: Option<u16>,
    /// Further settings.
    settings: &'static str,
}

/// What a server with TLS is told.
const ENCRYPTED: &str = " -c ssl=on -c ssl_cert_file=server.crt -c ssl_key_file=server.key";

impl Cluster {
    /// Makes and starts one. It keeps what it commits, like any server: fsync is on.
    pub fn start() -> Self {
        let cluster = Self::of(None, "");
        cluster.start_again();
        cluster
    }

    /// As [`Cluster::start`], on this port of 127.0.0.1 too.
    pub fn start_at(port: u16) -> Self {
        let cluster = Self::of(Some(port), "");
        cluster.start_again();
        cluster
    }

    /// As [`Cluster::start_at`], where it demands TLS and shows this certificate.
    pub fn start_encrypted(port: u16, certificate: &str, key: &str) -> Self {
        let cluster = Self::of(Some(port), ENCRYPTED);
        for (name, content) in [
            ("server.crt", certificate),
            ("server.key", key),
            ("pg_hba.conf", "local all all trust\nhostssl all all 127.0.0.1/32 trust\n"),
        ] {
            let path = Path::new(&cluster.data()).join(name);
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        cluster.give_to_postgres();
        cluster.start_again();
        cluster
    }

    fn of(port: Option<u16>, settings: &'static str) -> Self {
        // The path of a unix socket has to be short.
        let directory = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        let cluster = Self { directory, port, settings };
        cluster.give_to_postgres();
        cluster.make();
        cluster
    }

    /// Makes the data: a copy of what the first test to come made, which is quicker than making it each time.
    fn make(&self) {
        let template = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("postgres-template");
        let lock = std::fs::File::create(template.with_extension("lock")).unwrap();
        lock.lock().unwrap();
        if !template.exists() {
            let data = self.data();
            self.run(
                "initdb",
                &["-N", "-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"],
            );
            let half = template.with_extension("new");
            let _ = std::fs::remove_dir_all(&half);
            copy(Path::new(&data), &half);
            std::fs::rename(&half, &template).unwrap();
        } else {
            drop(lock);
            copy(&template, Path::new(&self.data()));
            self.give_to_postgres();
        }
    }

    /// Its owner has to be somebody other than root.
    fn give_to_postgres(&self) {
        if is_root() {
            let done =
                Command::new("chown").args(["-R", "postgres"]).arg(self.directory.path()).status().unwrap();
            assert!(done.success(), "there has to be a user postgres");
        }
    }

    fn data(&self) -> String {
        self.directory.path().join("data").display().to_string()
    }

    /// Where its socket is.
    pub fn socket(&self) -> &Path {
        self.directory.path()
    }

    /// Starts it after it was stopped.
    pub fn start_again(&self) {
        let log = self.directory.path().join("log").display().to_string();
        let socket = self.socket().display();
        let place = match self.port {
            Some(port) => format!("-c listen_addresses=127.0.0.1 -p {port}"),
            None => "-c listen_addresses=''".to_owned(),
        };
        let options =
            format!("-k {socket} {place} -c max_connections=200 -c shared_buffers=64MB{}", self.settings);
        self.run("pg_ctl", &["-D", &self.data(), "-l", &log, "-o", &options, "-w", "-t", "60", "start"]);
    }

    /// Stops it: `fast` breaks off what is going on, `immediate` is like a crash.
    pub fn stop(&self, mode: &str) {
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-m", mode, "stop"]);
    }

    /// The server and all that serve a connection or work behind.
    pub fn processes(&self) -> Vec<String> {
        let pid = std::fs::read_to_string(self.directory.path().join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        let children = Command::new("pgrep").args(["-P", &pid]).output().unwrap();
        let mut pids = vec![pid];
        pids.extend(said(&children).lines().map(str::to_owned));
        pids
    }

    /// Sends all of them a signal.
    pub fn signal(&self, signal: &str) {
        let pids = self.processes();
        assert!(Command::new("kill").arg(format!("-{signal}")).args(&pids).status().unwrap().success());
    }

    /// Makes an empty database and says its address.
    pub fn database(&self, name: &str) -> String {
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.address(name)
    }

    /// The address of a database.
    pub fn address(&self, name: &str) -> String {
        let socket = self.socket().display().to_string().replace('/', "%2F");
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("postgres://postgres@{socket}{port}/{name}")
    }

    /// The address of a database by TCP, with these words behind.
    pub fn address_by_tcp(&self, name: &str, words: &str) -> String {
        format!("postgres://postgres@localhost:{}/{name}?{words}", self.port.unwrap())
    }

    /// Runs a statement as the superuser and says what psql prints.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let output = Command::new("psql")
            .args(["-X", "-At", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"])
            .arg(self.socket())
            .args(["-p", &self.port.unwrap_or(5432).to_string()])
            .args(["-c", statement])
            .output()
            .unwrap();
        said(&output)
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let path = program_path(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        // A server that starts must not hold on to this process's pipes.
        let log = std::fs::File::create(self.directory.path().join(format!("{program}.out"))).unwrap();
        let errors = log.try_clone().unwrap();
        let status = command
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(std::process::Stdio::null())
            .stdout(log)
            .stderr(errors)
            .status()
            .unwrap();
        let out = std::fs::read_to_string(self.directory.path().join(format!("{program}.out")));
        assert!(status.success(), "{program} {arguments:?}: {}", out.unwrap_or_default());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may be stopped already.
        if self.directory.path().join("data/postmaster.pid").exists() && !std::thread::panicking() {
            self.stop("immediate");
        } else if let Ok(pid) = std::fs::read_to_string(self.directory.path().join("data/postmaster.pid")) {
            let pid = pid.lines().next().unwrap_or_default().to_owned();
            let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        }
    }
}

/// That of the newest version there is.
fn program_path(program: &str) -> PathBuf {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let paths = versions.filter_map(|version| {
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        Some((number, version.path().join("bin").join(program))).filter(|(_, path)| path.exists())
    });
    paths.max().map_or_else(|| program.into(), |(_, path)| path)
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    said(&output) == "0"
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

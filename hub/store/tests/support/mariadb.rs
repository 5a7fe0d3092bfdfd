//! A MariaDB server of a test's own: real, on a private port, in a private directory, gone with the
//! test however that ends.
//!
//! ```text
//!  Home::new()   installs the system tables into a directory that is removed at the end
//!  home.start()  ──▶ Server: stopped by SIGKILL when dropped; may be started again on its tables
//! ```
//! The server is the child of a shell that reads a pipe from this process, and kills the server when
//! the pipe closes: a test that panics, is killed or hangs until it is killed leaves none behind.
//!
//! Only `std` is used: tests of several crates include this file by its path.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where servers live that are not on everybody's `PATH`.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/libexec"];

/// How often a server is asked whether it listens: for a minute, on a machine that does other things.
const ASKED_MAX: usize = 3_000;

/// The time between.
const ASKED_EVERY: Duration = Duration::from_millis(20);

/// How often another port is tried where somebody else was faster.
const PORTS_TRIED: usize = 5;

/// The server stays as long as the pipe on the shell's input does. The shell outlives signals to the
/// whole group: the kernel hangs one up whose leader is killed while a server of it stands still.
const SUPERVISOR: &str =
    r#""$@" </dev/null & child=$!; trap "" HUP INT TERM; read -r _; kill -9 "$child"; wait"#;

/// The user of every URL: of this machine alone, and with a password that can be searched for.
const USER: &str = "weft";
pub(crate) const PASSWORD: &str = "pw-4Hq8Zt2Xn6";

/// A directory with the tables of one server.
#[derive(Debug)]
pub(crate) struct Home {
    folder: tempfile::TempDir,
    /// Further words of the server's command line.
    pub(crate) words: Vec<String>,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    supervisor: Child,
    /// Its process, to do it harm.
    pub(crate) pid: u32,
    /// Its port, to start it there again.
    pub(crate) port: u16,
}

impl Home {
    /// Installs the system tables, and writes down what the server begins with: under a second.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("weft-mariadb-").tempdir().expect("a folder");
        let log = File::create(folder.path().join("install.log")).expect("a log");
        let installed = Command::new(program(&["mariadb-install-db", "mysql_install_db"]))
            .args(["--no-defaults", "--auth-root-authentication-method=normal"])
            .args(["--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=16M"])
            .arg(format!("--datadir={}", folder.path().join("data").display()))
            .args(as_root())
            // Each server sweeps its temporary directory: a shared one, of another server's files.
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .status()
            .expect("mariadb-install-db runs");
        let home = Self { folder, words: Vec::new() };
        assert!(installed.success(), "mariadb-install-db failed:\n{}", home.log("install.log"));
        let who = format!("{USER}@'127.0.0.1'");
        let begin = format!(
            "CREATE DATABASE IF NOT EXISTS weft;\n\
             CREATE USER IF NOT EXISTS {who} IDENTIFIED BY '{PASSWORD}';\n\
             GRANT ALL ON *.* TO {who} WITH GRANT OPTION;\n"
        );
        fs::write(home.folder.path().join("begin.sql"), begin).expect("written");
        home
    }

    /// Starts the server and returns when it answers.
    pub(crate) fn start(&self) -> Server {
        for _ in 0..PORTS_TRIED {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let port = free.local_addr().expect("an address").port();
            drop(free);
            if let Some(server) = self.start_on(port) {
                return server;
            }
        }
        panic!("the server found no port:\n{}", self.log("error.log"));
    }

    /// Starts the server on this port; `None` where it ended instead of listening.
    pub(crate) fn start_on(&self, port: u16) -> Option<Server> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let pid_file = self.folder.path().join("pid");
        for stale in ["pid", "error.log"] {
            drop(fs::remove_file(self.folder.path().join(stale)));
        }
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "sh"])
            .arg(program(&["mariadbd", "mysqld"]))
            .arg("--no-defaults")
            .args(as_root())
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--socket={}", path("socket")))
            .arg(format!("--pid-file={}", path("pid")))
            .arg(format!("--log-error={}", path("error.log")))
            .arg(format!("--init-file={}", path("begin.sql")))
            .arg(format!("--port={port}"))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--max-connections=500"])
            // As in production: what was acknowledged is on the disk. Definitions of tables alone
            // need not be, or making them would take longer than most tests.
            .args(["--innodb-flush-log-at-trx-commit=1", "--innodb-log-file-size=16M"])
            .args(["--innodb-buffer-pool-size=64M", "--performance-schema=OFF", "--sync-frm=OFF"])
            .args(&self.words)
            .env("TMPDIR", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        for _ in 0..ASKED_MAX {
            if greets(port) {
                let pid = fs::read_to_string(&pid_file).expect("a pid");
                let pid = pid.trim().parse().expect("a pid");
                return Some(Server { supervisor, pid, port });
            }
            if self.log("error.log").contains("Do you already have another server running on port")
            {
                stop(&mut supervisor);
                return None;
            }
            std::thread::sleep(ASKED_EVERY);
        }
        stop(&mut supervisor);
        panic!("the server does not listen:\n{}", self.log("error.log"));
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

impl Server {
    /// The URL of a database of this server; `weft` is there from the beginning.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on port {}", self.pid, self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.supervisor);
    }
}

/// Lets go of the pipe, and waits until the server is gone.
fn stop(supervisor: &mut Child) {
    drop(supervisor.stdin.take());
    drop(supervisor.wait());
}

/// Whether somebody there begins to talk, as a server of this kind does at once.
fn greets(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let patient = stream.set_read_timeout(Some(Duration::from_secs(5)));
    patient.is_ok() && stream.read(&mut [0; 5]).is_ok_and(|bytes| bytes == 5)
}

/// The first of these programs that the machine has.
fn program(names: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        std::env::split_paths(&path).chain(FOLDERS.iter().map(PathBuf::from)).collect();
    let mut found = names.iter().flat_map(|name| folders.iter().map(move |at| at.join(name)));
    found.find(|file| file.is_file()).unwrap_or_else(|| {
        panic!("there is no {} here: \"deploy/dev/need test\" installs MariaDB", names[0])
    })
}

/// The server refuses to run as root unless it is told to.
fn as_root() -> Option<&'static str> {
    let me = fs::metadata(Path::new("/proc/self")).expect("a process");
    (me.uid() == 0).then_some("--user=root")
}

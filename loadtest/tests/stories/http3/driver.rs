//! The Python clients of HTTP/3, as processes that tell one line of JSON for each case.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use tokio::sync::mpsc;
use weft_loadtest::mesh::process::command;

/// One run of `http3.py`. Killed when dropped.
pub(super) struct Driver {
    child: Child,
    input: Option<ChildStdin>,
    told: bool,
    lines: mpsc::Receiver<String>,
}

/// `http3.py` of the interpreter that `make test` has installed.
pub(super) fn python() -> Command {
    let Some(python) = std::env::var_os("WEFT_SDK_PYTHON").filter(|path| !path.is_empty()) else {
        panic!(
            "WEFT_SDK_PYTHON is not set: run `make test`, which installs the clients and sets it"
        )
    };
    let mut driver = command(&PathBuf::from(python));
    driver.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/sdk/python/http3.py"));
    driver
}

impl Driver {
    /// Starts `client` on `cases`, one after the other on one connection where it keeps one.
    pub(super) fn start(world: &World, client: &str, cases: &str) -> Self {
        let mut driver = python();
        let port = world.hub.users().port().to_string();
        driver.args(["--client", client, "--port", &port, "--case", cases]);
        driver.env("WEFT_SDK_KEY", &world.key.secret).env("SSL_CERT_FILE", world.hub.ca());
        driver.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = driver.spawn().expect("it starts");
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let (told, lines) = mpsc::channel(16);
        drop(tokio::task::spawn_blocking(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if told.blocking_send(line).is_err() {
                    return;
                }
            }
        }));
        Self { child, input, told: false, lines }
    }

    /// What became of the next case, which begins only now: until then the client waits, with its
    /// connection open.
    pub(super) async fn next(&mut self) -> Value {
        if std::mem::replace(&mut self.told, true)
            && let Some(input) = &mut self.input
        {
            input.write_all(b"\n").expect("it listens");
        }
        let line = timeout(LIMIT, self.lines.recv()).await.expect("a line in time");
        serde_json::from_str(&line.expect("a line: see what the client said")).expect("JSON")
    }

    /// Waits for its proper end.
    pub(super) async fn end(mut self) {
        drop(self.input.take());
        assert_eq!(timeout(LIMIT, self.lines.recv()).await.expect("an end in time"), None);
        assert!(self.child.wait().expect("a status").success(), "the client failed");
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

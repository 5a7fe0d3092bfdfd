//! One child process with its log, and commands that run to their end.
//!
//! A child is killed when its value is dropped. Its standard output and error go to one file, so
//! that no full pipe can stop it and its last words can be shown.

use super::MeshError;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// How often a child is looked at while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Bytes of a log's end that are shown.
const TAIL_BYTES_MAX: u64 = 4 * 1_024;
/// Lines of a log's end that are shown.
const TAIL_LINES_MAX: usize = 12;
/// Variables of the caller's environment that children are given.
const ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "TMPDIR", "LANG", "TZ", "RUST_BACKTRACE"];

/// A command of `program` in a clean environment.
#[must_use]
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for name in ENVIRONMENT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Runs `command` to its end, with `input` on its standard input, and returns what it printed.
/// Blocks for that long.
///
/// # Errors
/// [`MeshError::System`] where it does not start, [`MeshError::Failed`] with its own words where
/// it fails.
pub fn answer(mut command: Command, input: &str) -> Result<String, MeshError> {
    let words = words(&command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(MeshError::system(words.clone()))?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input.as_bytes()) {
            // A command that reads no input may have ended already.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(MeshError::system(words)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    let output = child.wait_with_output().map_err(MeshError::system(words.clone()))?;
    if output.status.success() {
        return String::from_utf8(output.stdout).map_err(|_| MeshError::Answer { command: words });
    }
    Err(MeshError::Failed {
        command: words,
        status: output.status,
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn words(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let all: Vec<_> =
        std::iter::once(name).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    all.join(" ")
}

/// A running child. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` as a process of its own group (a terminal's Ctrl-C does not reach it) that
    /// adds to the file `log`.
    ///
    /// # Errors
    /// [`MeshError::System`].
    pub fn start(name: &str, command: Command, log: &Path) -> Result<Self, MeshError> {
        Self::start_with(name, command, log, Stdio::null())
    }

    /// The same with a standard input that stays open for as long as the value lives, for programs
    /// that end when it closes.
    ///
    /// # Errors
    /// [`MeshError::System`].
    pub fn start_held(name: &str, command: Command, log: &Path) -> Result<Self, MeshError> {
        Self::start_with(name, command, log, Stdio::piped())
    }

    fn start_with(
        name: &str,
        mut command: Command,
        log: &Path,
        stdin: Stdio,
    ) -> Result<Self, MeshError> {
        let failed = || MeshError::system(format!("{name} with its log {}", log.display()));
        let out = OpenOptions::new().create(true).append(true).open(log).map_err(failed())?;
        let err = out.try_clone().map_err(failed())?;
        let child = command
            .stdin(stdin)
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(failed())?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file that it logs to.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its log.
    #[must_use]
    pub fn tail(&self) -> String {
        tail(&self.log)
    }

    /// How it ended; nothing while it runs.
    ///
    /// # Errors
    /// [`MeshError::System`].
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, MeshError> {
        self.child.try_wait().map_err(MeshError::system(format!("waiting for {}", self.name)))
    }

    /// Sends `signal`; one that has ended is left alone.
    ///
    /// # Errors
    /// [`MeshError::System`].
    pub fn signal(&mut self, signal: Signal) -> Result<(), MeshError> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        // Not reaped yet, so the id is still this child's.
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal)
            .map_err(|error| MeshError::system(format!("a signal to {}", self.name))(error.into()))
    }

    /// Fails where the process has ended, with the end of its log.
    ///
    /// # Errors
    /// [`MeshError::Died`].
    pub fn check(&mut self) -> Result<(), MeshError> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => Err(MeshError::Died {
                name: self.name.clone(),
                status,
                log: self.log.clone(),
                tail: self.tail(),
            }),
        }
    }

    /// Waits until it has ended, `within` at most.
    ///
    /// # Errors
    /// [`MeshError::Late`] where it still runs.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait(&mut self, within: Duration) -> Result<ExitStatus, MeshError> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if began.elapsed() > within {
                return Err(self.late("its end", within));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks again and again until `found` gives something, `within` at most.
    ///
    /// # Errors
    /// [`MeshError::Late`], [`MeshError::Died`] where the process ends meanwhile, and what `found`
    /// fails with.
    ///
    /// # Cancel safety
    /// Cancel safe where `found` is.
    pub async fn until<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut found: impl AsyncFnMut() -> Result<Option<T>, MeshError>,
    ) -> Result<T, MeshError> {
        let began = Instant::now();
        loop {
            self.check()?;
            if let Some(value) = found().await? {
                return Ok(value);
            }
            if began.elapsed() > within {
                return Err(self.late(what, within));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks it to end, and forces it where that takes longer than `grace`.
    ///
    /// # Errors
    /// [`MeshError::System`].
    ///
    /// # Cancel safety
    /// Dropped before it was done, the process runs on until the value goes.
    pub async fn stop(&mut self, grace: Duration) -> Result<(), MeshError> {
        self.signal(Signal::TERM)?;
        if self.wait(grace).await.is_err() {
            self.kill();
        }
        Ok(())
    }

    /// Asks it to end, and fails where it does not, or not well. It has ended either way; one that
    /// had ended before is left alone.
    ///
    /// # Errors
    /// [`MeshError::Late`] where it had to be forced, [`MeshError::Died`] where it ended in a failure,
    /// both with its name and the end of its log.
    ///
    /// # Cancel safety
    /// Dropped before it was done, the process runs on until the value goes.
    pub async fn end(&mut self, within: Duration) -> Result<(), MeshError> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        let ended = self.wait(within).await.inspect_err(|_| self.kill())?;
        if ended.success() { Ok(()) } else { self.check() }
    }

    /// Ends it at once, as SIGKILL does, and waits for it.
    pub fn kill(&mut self) {
        if self.child.kill().is_ok() {
            // Reaped, or gone already: either way there is nothing left to wait for.
            drop(self.child.wait());
        }
    }

    fn late(&self, what: &str, waited: Duration) -> MeshError {
        MeshError::Late {
            what: format!("{}: {what}", self.name),
            waited,
            log: self.log.clone(),
            tail: self.tail(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of the file `log`; nothing where it cannot be read.
#[must_use]
pub fn tail(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES_MAX)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = command(Path::new("/bin/sh"));
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_that_fails_is_told_with_its_own_words() {
        let error = answer(shell("echo no such thing >&2; exit 3"), "").unwrap_err();
        assert!(error.to_string().contains("no such thing"), "{error}");
        assert_eq!(answer(shell("cat"), "through").unwrap(), "through");
    }

    #[tokio::test]
    async fn a_child_that_dies_is_told_with_the_end_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut child = Process::start("child", shell("echo last words; exit 1"), &log).unwrap();
        child.wait(Duration::from_secs(10)).await.unwrap();
        let error = child.check().unwrap_err().to_string();
        assert!(error.contains("last words"), "{error}");
    }

    #[tokio::test]
    async fn a_stop_is_asked_for_and_then_forced() {
        let dir = tempfile::tempdir().unwrap();
        let deaf = shell("trap '' TERM; while :; do sleep 0.05; done");
        let mut deaf = Process::start("deaf", deaf, &dir.path().join("log")).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        deaf.stop(Duration::from_millis(100)).await.unwrap();
        assert!(deaf.ended().unwrap().is_some());
    }

    #[tokio::test]
    async fn an_end_that_had_to_be_forced_or_went_wrong_is_told_with_the_name() {
        let dir = tempfile::tempdir().unwrap();
        for (name, script, told) in [
            ("deaf", "trap '' TERM; echo stuck; while :; do sleep 0.05; done", "stuck"),
            (
                "clumsy",
                "trap 'echo oh; exit 3' TERM; while :; do sleep 0.05; done",
                "exit status: 3",
            ),
        ] {
            let mut child = Process::start(name, shell(script), &dir.path().join(name)).unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            let error = child.end(Duration::from_secs(2)).await.unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(told), "{error}");
            assert!(child.ended().unwrap().is_some());
            child.end(Duration::from_secs(2)).await.unwrap();
        }
    }
}

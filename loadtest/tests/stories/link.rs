//! The command that lays links: what it refuses, what it runs, and what it leaves behind.
//!
//! Where the machine has no room for links the stories that need one say so and prove nothing.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a process that is to end is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// And how many times, on a machine that is busy: half a minute.
const LOOKS: u32 = 1_500;

fn link(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft-loadtest"));
    command.arg("link").args(arguments).stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> (Output, String) {
    let output = link(arguments).output().expect("weft-loadtest runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

/// One story at a time: each link ends what dead ones have left behind, another story's too.
static ALONE: Mutex<()> = Mutex::new(());

/// Leave to lay links, for one story at a time; says so and gives none where the machine has no
/// room for them.
fn permitted() -> Option<MutexGuard<'static, ()>> {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (output, said) = output(&["--", "true"]);
    if output.status.success() {
        return Some(alone);
    }
    let forbidden = said.contains("the kernel refused") || said.contains("/dev/net/tun is missing");
    assert!(forbidden, "{said}");
    eprintln!("SKIPPED, this machine has no room for links: {said}");
    None
}

/// A link that is up, with a command in it that prints its process id and then waits.
fn waiting() -> (Child, Pid) {
    let script = "echo $$; exec sleep 600";
    let mut run = link(&["--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("weft-loadtest runs");
    let mut line = String::new();
    let mut lines = BufReader::new(run.stdout.take().expect("piped"));
    lines.read_line(&mut line).expect("a line");
    let inside = line.trim().parse().ok().and_then(Pid::from_raw).expect("a process id");
    (run, inside)
}

/// Whether a process runs: what has ended and was not yet waited for has no command line.
fn runs(pid: Pid) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn gone(pid: Pid) -> bool {
    (0..LOOKS).any(|_| {
        let gone = !runs(pid);
        if !gone {
            std::thread::sleep(LOOK_EVERY);
        }
        gone
    })
}

#[test]
fn impossible_settings_of_a_link_are_refused_before_anything_is_made() {
    for (arguments, words) in [
        (&["--jitter", "5ms", "--", "true"][..], "before they were sent"),
        (&["--loss", "101%", "--", "true"], "from 0 to 100"),
        (&["--place", "moon", "--", "true"], "possible values"),
        (&["--at-most", "25h", "--", "true"], "no length of a run"),
        (&["--rebind-every", "1ms", "--", "true"], "too short for any NAT"),
        (&["--mtu", "80", "--", "true"], "none that hosts take"),
    ] {
        let (output, said) = output(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn commands_at_all_ends_know_each_other_and_the_deeds_of_the_links_are_told() {
    let Some(_alone) = permitted() else { return };
    let (output, said) = output(&[
        "--place",
        "fibre",
        "--place",
        "lossy",
        "--far",
        "echo far at $WEFT_LINK_HERE; exec sleep 600",
        "--",
        "sh",
        "-c",
        "echo at $WEFT_LINK_HERE of $WEFT_LINK_NEAR, far is $WEFT_LINK_FAR",
    ]);
    assert!(output.status.success(), "{said}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    for near in ["198.18.0.2", "198.18.0.3"] {
        let line = format!("at {near} of 198.18.0.2,198.18.0.3, far is 198.18.0.1");
        assert!(stdout.lines().any(|found| found == line), "{stdout}");
    }
    assert!(stdout.lines().any(|found| found == "far at 198.18.0.1"), "{stdout}");
    assert!(said.contains("2 % lost") && said.contains("packets in"), "{said}");
}

#[test]
fn the_failure_of_a_command_in_a_link_is_the_failure_of_the_run() {
    let Some(_alone) = permitted() else { return };
    let (output, said) = output(&["--", "sh", "-c", "exit 3"]);
    assert!(!output.status.success());
    assert!(said.contains("near1") && said.contains("exit status: 3"), "{said}");
    let (output, said) = self::output(&["--", "no-such-program"]);
    assert!(!output.status.success());
    assert!(said.contains("`no-such-program` did not start"), "{said}");
}

#[test]
fn an_interrupted_link_ends_what_ran_in_it() {
    let Some(_alone) = permitted() else { return };
    let (mut run, inside) = waiting();
    kill_process(Pid::from_child(&run), Signal::INT).expect("a signal");
    assert!(!run.wait().expect("an end").success());
    assert!(gone(inside), "the command inside runs on");
}

#[test]
fn what_a_killed_link_left_behind_is_ended_by_the_next_one() {
    let Some(_alone) = permitted() else { return };
    let (mut run, inside) = waiting();
    run.kill().expect("killed");
    run.wait().expect("an end");
    assert!(runs(inside), "nothing is left behind to find");
    let (output, said) = output(&["--", "true"]);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("of a run that died"), "{said}");
    assert!(gone(inside), "it runs on");
}

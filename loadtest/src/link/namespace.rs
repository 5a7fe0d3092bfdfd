//! A network namespace of one's own, and the way into it.
//!
//! The namespace has no name and no file: it lives for as long as this value, or a process that
//! was started in it. Whatever becomes of this process, the kernel takes the namespace and its
//! devices down behind it. A namespace is a thread's, so one thread is moved into it and kept as
//! the doorway: what it opens or starts belongs there.

use super::LinkError;
use nix::sched::{CloneFlags, unshare};
use rustix::thread::{LinkNameSpaceType, gettid, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// The namespace of the thread that reads it.
const OWN: &str = "/proc/thread-self/ns/net";
/// Whether devices that come later speak IPv6.
const IPV6_OFF: &str = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
/// Jobs that wait for the doorway.
const JOBS_MAX: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// A namespace with nothing in it but a loopback device that is down.
#[derive(Debug)]
pub struct Namespace {
    // The doorway ends when nobody can give it a job; so this goes first.
    jobs: Option<SyncSender<Job>>,
    doorway: Option<JoinHandle<()>>,
    handle: Arc<File>,
    path: PathBuf,
    inode: u64,
}

/// What the doorway finds on its way in.
struct Inside {
    handle: File,
    path: PathBuf,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Errors
    /// [`LinkError::Namespace`] where this process may not, [`LinkError::System`] where it has no
    /// thread or no `/proc`.
    pub fn new(name: &str) -> Result<Self, LinkError> {
        let system = |source| LinkError::System { what: "a thread in a namespace", source };
        let (jobs, waiting) = sync_channel(JOBS_MAX);
        let (found, came) = sync_channel(1);
        let doorway = Builder::new()
            .name(format!("in {name}"))
            .spawn(move || {
                let inside = enter_new();
                let good = inside.is_ok();
                // Whoever made it waits for exactly this one word.
                if found.send(inside).is_ok() && good {
                    serve(&waiting);
                }
            })
            .map_err(system)?;
        let inside = came.recv().map_err(|_| system(io::ErrorKind::BrokenPipe.into()))??;
        let inode = inside.handle.metadata().map_err(system)?.ino();
        let (handle, path) = (Arc::new(inside.handle), inside.path);
        Ok(Self { jobs: Some(jobs), doorway: Some(doorway), handle, path, inode })
    }

    /// Runs `job` inside and waits for it. Sockets that it opens belong to the namespace wherever
    /// they are used afterwards. One job at a time: it must not wait for another.
    ///
    /// # Errors
    /// [`LinkError::System`] where the doorway is gone, as after a job that panicked.
    pub fn inside<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LinkError> {
        let gone = || LinkError::System {
            what: "a job in a namespace",
            source: io::ErrorKind::BrokenPipe.into(),
        };
        let (done, answer) = sync_channel(1);
        let job: Job = Box::new(move || drop(done.send(job())));
        self.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())
    }

    /// Starts `command` inside.
    ///
    /// # Errors
    /// [`LinkError::System`] where it does not start.
    pub fn spawn(&self, mut command: Command) -> Result<Child, LinkError> {
        let name = command.get_program().to_string_lossy().into_owned();
        let started = self.inside(move || command.spawn())?;
        started.map_err(|source| LinkError::Command { name, source })
    }

    /// Runs `work` inside, on a thread of its own: a runtime made there opens its sockets there.
    /// The thread keeps the namespace alive.
    ///
    /// # Errors
    /// [`LinkError::System`] where there is no thread.
    pub fn thread<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<io::Result<T>>, LinkError> {
        let handle = Arc::clone(&self.handle);
        let enter = move || -> io::Result<T> {
            move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        };
        Builder::new()
            .name(name.to_owned())
            .spawn(enter)
            .map_err(|source| LinkError::System { what: "a thread in a namespace", source })
    }

    /// A path by which others enter, for as long as this value lives:
    /// `nsenter --net=PATH COMMAND`.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// What tells it from every other namespace that exists now.
    #[must_use]
    pub const fn inode(&self) -> u64 {
        self.inode
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(doorway) = self.doorway.take() {
            // A job that panicked has said so already.
            drop(doorway.join());
        }
    }
}

fn enter_new() -> Result<Inside, LinkError> {
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|errno| LinkError::Namespace { source: errno.into() })?;
    // Links carry IPv4 alone. Without this the kernel's own IPv6 packets are strays, no more.
    if let Err(error) = std::fs::write(IPV6_OFF, "1") {
        tracing::debug!(%error, "IPv6 stays on in a namespace");
    }
    let system = |source| LinkError::System { what: OWN, source };
    let handle = File::open(OWN).map_err(system)?;
    let (process, thread) = (std::process::id(), gettid().as_raw_nonzero());
    Ok(Inside { handle, path: format!("/proc/{process}/task/{thread}/ns/net").into() })
}

fn serve(jobs: &Receiver<Job>) {
    for job in jobs {
        job();
    }
}

//! A proxy for tests: HTTP `CONNECT` or SOCKS5, with or without a password, on loopback alone.
//!
//! It tells what it was asked for and whom it turned away, and can cut its tunnels in the middle.
//! It opens tunnels to loopback addresses and to nothing else: any other host is refused by the
//! protocol's own words, and nothing is resolved.

mod connect;
mod socks;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Requests remembered at most.
const ASKED_MAX: usize = 4_096;
/// How long a client may take to say what it wants.
const GREETING_MAX: Duration = Duration::from_secs(10);

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP `CONNECT`.
    Connect,
    /// SOCKS version 5.
    Socks5,
}

impl Speaks {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Connect, Self::Socks5];

    /// The scheme that an egress is written with.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Connect => "http",
            Self::Socks5 => "socks5",
        }
    }
}

/// User and password that a proxy wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// One tunnel that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The host, as it was written: a name stays a name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Every byte of the request for it, for those who look for what should not be there.
    pub raw: Vec<u8>,
    /// Whether it was opened.
    pub opened: bool,
}

/// A request that a client's protocol carried.
#[derive(Debug)]
struct Wanted {
    host: String,
    port: u16,
    raw: Vec<u8>,
}

/// Why a client gets no tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum No {
    /// The host is not this machine.
    Foreign,
    /// Nobody answers there.
    Unreachable,
}

#[derive(Debug)]
struct Shared {
    speaks: Speaks,
    login: Option<Login>,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicU64,
    turned_away: AtomicU64,
    /// Cancelled to cut the tunnels that are open; another one stands for those to come.
    cut: Mutex<CancellationToken>,
}

/// A running proxy. Dropping it ends it without waiting.
#[derive(Debug)]
pub struct EgressProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl EgressProxy {
    /// Binds a free port of this machine and begins to serve.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn bind(speaks: Speaks, login: Option<Login>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            speaks,
            login,
            asked: Mutex::default(),
            connections: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            cut: Mutex::default(),
        });
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let accept = accept(listener, Arc::clone(&shared), tracker.clone(), stop.clone());
        drop(tracker.spawn(accept));
        Ok(Self { addr, shared, tracker, stop })
    }

    /// What an owner writes behind `--egress`, with the user that the proxy knows.
    #[must_use]
    pub fn egress(&self) -> String {
        let user =
            self.shared.login.as_ref().map_or_else(String::new, |one| format!("{}@", one.user));
        format!("{}://{user}{}", self.shared.speaks.scheme(), self.addr)
    }

    /// The tunnels asked for, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections that came at all.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Clients that had no password, or another one.
    #[must_use]
    pub fn turned_away(&self) -> u64 {
        self.shared.turned_away.load(Ordering::Relaxed)
    }

    /// Cuts all tunnels that are open, with a TCP reset on both sides.
    pub fn cut(&self) {
        let mut cut = self.shared.cut.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *cut).cancel();
    }

    /// Ends it and its tunnels.
    ///
    /// # Cancel safety
    /// Dropped before it was done, what was told to end ends all the same.
    pub async fn shutdown(self) {
        self.cut();
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Drop for EgressProxy {
    fn drop(&mut self) {
        self.cut();
        self.stop.cancel();
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((client, _)) = accepted else {
            return;
        };
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        drop(tracker.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                served = serve(client, &shared) => {
                    if let Err(error) = served {
                        tracing::debug!(%error, "a client of the proxy is gone");
                    }
                }
            }
        }));
    }
}

async fn serve(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let login = shared.login.as_ref();
    let greeting = async {
        match shared.speaks {
            Speaks::Connect => connect::greet(&mut client, login).await,
            Speaks::Socks5 => socks::greet(&mut client, login).await,
        }
    };
    let greeted = tokio::time::timeout(GREETING_MAX, greeting).await;
    let Some(wanted) = greeted.map_err(|_| io::ErrorKind::TimedOut)?? else {
        shared.turned_away.fetch_add(1, Ordering::Relaxed);
        return Ok(());
    };
    // The token of the tunnels open at this moment: a cut that comes later is for this one too.
    let cut = shared.cut.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let opened = open(&wanted).await;
    {
        let mut asked = shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() < ASKED_MAX {
            let Wanted { host, port, raw } = wanted;
            asked.push(Asked { host, port, raw, opened: opened.is_ok() });
        }
    }
    let verdict = opened.as_ref().map(drop).map_err(|no| *no);
    match shared.speaks {
        Speaks::Connect => connect::answer(&mut client, verdict).await?,
        Speaks::Socks5 => socks::answer(&mut client, verdict).await?,
    }
    let Ok(mut provider) = opened else {
        return Ok(());
    };
    tokio::select! {
        biased;
        () = cut.cancelled() => {
            client.set_zero_linger()?;
            provider.set_zero_linger()
        }
        copied = copy_bidirectional(&mut client, &mut provider) => copied.map(drop),
    }
}

/// A connection to a host of this machine.
async fn open(wanted: &Wanted) -> Result<TcpStream, No> {
    let address = match wanted.host.as_str() {
        "localhost" => IpAddr::from(Ipv4Addr::LOCALHOST),
        host => host.parse().map_err(|_| No::Foreign)?,
    };
    if !address.is_loopback() {
        return Err(No::Foreign);
    }
    let stream = TcpStream::connect((address, wanted.port)).await.map_err(|_| No::Unreachable)?;
    stream.set_nodelay(true).map_err(|_| No::Unreachable)?;
    Ok(stream)
}

#[cfg(test)]
mod tests;

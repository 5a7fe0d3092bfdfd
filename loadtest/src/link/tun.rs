//! A TUN device: packets of a namespace that leave by it are read here, and what is written here
//! arrives there.
//!
//! The device is gone as soon as its descriptor is closed, and no child inherits that.

use super::LinkError;
use rustix::fd::{AsFd, BorrowedFd};
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use tun_rs::{DeviceBuilder, SyncDevice};

/// Where the kernel hands them out.
const DOOR: &str = "/dev/net/tun";
/// The name of the one device of a namespace besides its loopback.
const NAME: &str = "weft0";
/// Bits of an address that are the network of a link: all of 198.18.0.0/15.
const PREFIX: u8 = 15;
/// Packets that the kernel keeps for a relay that is busy elsewhere: some 10 ms at 1 Gbit/s. It
/// drops further ones, and counts them.
const QUEUE_PACKETS: u32 = 2_000;
/// Where the kernel counts what it dropped, for the namespace of whoever reads it.
const COUNTERS: &str = "/proc/thread-self/net/dev";
/// The column of that file with dropped packets on their way out, behind the device's name.
const DROPPED_COLUMN: usize = 11;

/// A device.
pub(super) struct Tun(SyncDevice);

impl Tun {
    /// Makes one in the calling thread's namespace, with its address, switched on.
    pub(super) fn open(address: Ipv4Addr, mtu: u16) -> Result<Self, LinkError> {
        // Looked for first: whatever is missing is told, never made.
        if !Path::new(DOOR).exists() {
            return Err(LinkError::NoTun);
        }
        let refused = |source: io::Error| LinkError::Device { source };
        let device = DeviceBuilder::new()
            .name(NAME)
            .mtu(mtu)
            .ipv4(address, PREFIX, None)
            .with(|options| {
                options.tx_queue_len(QUEUE_PACKETS);
            })
            .build_sync()
            .map_err(refused)?;
        device.set_nonblocking(true).map_err(refused)?;
        Ok(Self(device))
    }

    /// Reads the next packet.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where there is none.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer)
    }

    /// Writes one packet.
    pub(super) fn write(&self, packet: &[u8]) -> io::Result<usize> {
        self.0.send(packet)
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl std::fmt::Debug for Tun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tun").field(&NAME).finish()
    }
}

/// Packets that the calling thread's namespace dropped because nobody read them in time.
pub(super) fn dropped() -> io::Result<u64> {
    Ok(dropped_of(&std::fs::read_to_string(COUNTERS)?).unwrap_or(0))
}

fn dropped_of(text: &str) -> Option<u64> {
    let line =
        text.lines().find_map(|line| line.trim_start().strip_prefix(NAME)?.strip_prefix(':'));
    line?.split_whitespace().nth(DROPPED_COLUMN)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_packets_are_found_in_the_kernels_table() {
        let text = "Inter-|   Receive                         |  Transmit\n face |bytes ...\n    \
            lo:  1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n \
            weft0: 1 2 0 0 0 0 0 0 9 10 0 77 0 0 0 0\n";
        assert_eq!(dropped_of(text), Some(77));
        assert_eq!(dropped_of("  weft01: 1 2 3\n"), None);
    }
}

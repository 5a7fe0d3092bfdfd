//! Switches on the loopback device of a namespace.
//!
//! It takes one message of route netlink to the kernel, and no tool that had to be installed. The
//! calling thread's namespace is the one that is meant.

use rustix::net::netdevice::name_to_index;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};
use std::io;

/// The name of the loopback device in every namespace.
const NAME: &str = "lo";
/// Bytes of an answer; the longest is an error with the message that it is about.
const ANSWER_BYTES_MAX: usize = 4_096;

const RTM_NEWLINK: u16 = 16;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const IFF_UP: u32 = 0x1;
const HEADER_BYTES: usize = 16;

/// Switches it on.
pub(super) fn up() -> io::Result<()> {
    let open = |family, kind| socket_with(family, kind, SocketFlags::CLOEXEC, None);
    let index = name_to_index(open(AddressFamily::INET, SocketType::DGRAM)?, NAME)?;
    let netlink = open(AddressFamily::NETLINK, SocketType::RAW)?;
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&netlink, &switch_on(index), SendFlags::empty(), &kernel)?;
    let mut answer = [0; ANSWER_BYTES_MAX];
    let (_, length) = recv(&netlink, &mut answer, RecvFlags::empty())?;
    outcome(answer.get(..length).unwrap_or(&answer))
}

/// A `struct nlmsghdr` (length, kind, flags, number, sender) and a `struct ifinfomsg` (family and
/// padding, type, index, flags, which of them to change).
fn switch_on(index: u32) -> Vec<u8> {
    let mut message = vec![0; HEADER_BYTES + 4];
    message[4..6].copy_from_slice(&RTM_NEWLINK.to_ne_bytes());
    message[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    for word in [index, IFF_UP, IFF_UP] {
        message.extend(word.to_ne_bytes());
    }
    let length = message.len() as u32;
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message
}

/// What the kernel answered: an error message whose number is 0 where all went well.
fn outcome(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..6).and_then(|kind| Some(u16::from_ne_bytes(kind.try_into().ok()?)));
    let code = answer.get(HEADER_BYTES..HEADER_BYTES + 4);
    let code = code.and_then(|code| Some(i32::from_ne_bytes(code.try_into().ok()?)));
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
        (Some(_) | None, _) => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "netlink gave no answer"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_as_long_as_it_says() {
        let message = switch_on(7);
        assert_eq!(message.len(), 32);
        assert_eq!(message[..4], 32_u32.to_ne_bytes());
        assert_eq!(message[20..24], 7_u32.to_ne_bytes());
    }

    #[test]
    fn an_answer_is_good_refused_or_not_understood() {
        let answer = |kind: u16, code: i32| {
            let mut bytes = vec![0; HEADER_BYTES];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes.extend(code.to_ne_bytes());
            outcome(&bytes)
        };
        assert!(answer(NLMSG_ERROR, 0).is_ok());
        assert_eq!(answer(NLMSG_ERROR, -1).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(answer(RTM_NEWLINK, 0).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(answer(NLMSG_ERROR, i32::MIN).is_err());
        assert!(outcome(&[]).is_err());
    }
}

//! What a link must know of a packet: where it goes, and whether it is UDP; and what a NAT does to
//! one.
//!
//! Reads an IPv4 header, and writes its addresses and the checksums that cover them. Whatever is
//! not IPv4 is no packet of a link: its namespaces have no other addresses.

use std::net::Ipv4Addr;

/// The shortest header of IPv4.
const HEADER_BYTES_MIN: usize = 20;
/// The number of UDP in a header. Every fragment of a datagram has it.
const UDP: u8 = 17;
/// That of TCP.
const TCP: u8 = 6;
/// Where a header has its number of the protocol.
const PROTOCOL_AT: usize = 9;
/// Where a header has its own checksum.
const CHECKSUM_AT: usize = 10;
/// Where a header says from whom a packet comes.
const SOURCE_AT: usize = 12;
/// Where a header says to whom it goes.
const DESTINATION_AT: usize = 16;
/// Where a header says which part of a packet this is, and the bits that do.
const FRAGMENT: (usize, u16) = (6, 0x1fff);
/// Where TCP has its checksum, behind the header of IP.
const TCP_CHECKSUM_AT: usize = 16;
/// Where UDP has one.
const UDP_CHECKSUM_AT: usize = 6;

/// One packet, headers of IP and all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    destination: Ipv4Addr,
    udp: bool,
    bytes: Vec<u8>,
}

impl Packet {
    /// The packet in `bytes`; nothing where that is no IPv4.
    #[must_use]
    pub fn parse(bytes: Vec<u8>) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER_BYTES_MIN>()?;
        let &[first, _, high, low, _, _, _, _, _, protocol, _, _, _, _, _, _, a, b, c, d] = header;
        let header_bytes = usize::from(first & 0x0f) * 4;
        let total = usize::from(u16::from_be_bytes([high, low]));
        let whole = (HEADER_BYTES_MIN..=total).contains(&header_bytes) && total == bytes.len();
        let destination = Ipv4Addr::new(a, b, c, d);
        (first >> 4 == 4 && whole).then_some(Self { destination, udp: protocol == UDP, bytes })
    }

    /// Whose it is.
    #[must_use]
    pub const fn destination(&self) -> Ipv4Addr {
        self.destination
    }

    /// Whether it carries UDP, whole or a part.
    #[must_use]
    pub const fn is_udp(&self) -> bool {
        self.udp
    }

    /// Makes it a packet from somebody else; its checksums hold if they did before.
    pub fn set_source(&mut self, source: Ipv4Addr) {
        self.rewrite(SOURCE_AT, source);
    }

    /// Makes it a packet to somebody else; its checksums hold if they did before.
    pub fn set_destination(&mut self, destination: Ipv4Addr) {
        self.destination = destination;
        self.rewrite(DESTINATION_AT, destination);
    }

    fn rewrite(&mut self, at: usize, address: Ipv4Addr) {
        let transport = self.transport_checksum_at();
        let [a, b, c, d] = address.octets();
        for (at, new) in [(at, [a, b]), (at + 2, [c, d])] {
            let new = u16::from_be_bytes(new);
            let Some(old) = self.word(at) else { return };
            self.put(at, new);
            self.mend(CHECKSUM_AT, old, new);
            if let Some(at) = transport {
                self.mend(at, old, new);
            }
        }
    }

    /// The checksum behind the header that covers its addresses, too: of TCP and UDP, in the first
    /// part of a packet.
    fn transport_checksum_at(&self) -> Option<usize> {
        let (at, bits) = FRAGMENT;
        let header_bytes = usize::from(self.bytes.first()? & 0x0f) * 4;
        let (first, protocol) = (self.word(at)? & bits == 0, *self.bytes.get(PROTOCOL_AT)?);
        match protocol {
            TCP if first => Some(header_bytes + TCP_CHECKSUM_AT),
            // Zero is a datagram without a checksum.
            UDP if first => Some(header_bytes + UDP_CHECKSUM_AT)
                .filter(|at| self.word(*at).is_some_and(|sum| sum != 0)),
            _ => None,
        }
    }

    /// Mends the checksum at `at` for a word that was `old` and is `new` (RFC 1624).
    fn mend(&mut self, at: usize, old: u16, new: u16) {
        let Some(sum) = self.word(at) else { return };
        let sum = u32::from(!sum) + u32::from(!old) + u32::from(new);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
        // In UDP zero would say that there is none, and all ones mean the same.
        self.put(at, if sum == 0 && self.udp && at != CHECKSUM_AT { 0xffff } else { sum });
    }

    fn word(&self, at: usize) -> Option<u16> {
        self.bytes.get(at..)?.first_chunk().map(|word| u16::from_be_bytes(*word))
    }

    fn put(&mut self, at: usize, word: u16) {
        if let Some(place) = self.bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *place = word.to_be_bytes();
        }
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A packet for tests: a header, and as many bytes altogether as `length`.
#[cfg(test)]
pub(super) fn made(destination: Ipv4Addr, protocol: u8, length: u16, mark: u8) -> Packet {
    let mut bytes = vec![mark; usize::from(length)];
    bytes[..HEADER_BYTES_MIN].fill(0);
    bytes[0] = 0x45;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes[9] = protocol;
    bytes[16..20].copy_from_slice(&destination.octets());
    Packet::parse(bytes).expect("a packet")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THERE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

    #[test]
    fn a_packet_says_where_it_goes_and_whether_it_is_udp() {
        let datagram = made(THERE, 17, 60, 1);
        assert_eq!((datagram.destination(), datagram.is_udp()), (THERE, true));
        assert!(!made(THERE, 6, 60, 1).is_udp());
        assert_eq!(datagram.bytes().len(), 60);
    }

    #[test]
    fn what_is_no_whole_ipv4_packet_is_none() {
        let good = made(THERE, 17, 60, 1).bytes().to_vec();
        let spoilt = |index: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[index] = value;
            Packet::parse(bytes)
        };
        assert_eq!(spoilt(0, 0x65), None, "IPv6");
        assert_eq!(spoilt(0, 0x44), None, "a header that is too short");
        assert_eq!(spoilt(3, 61), None, "a length that is not its own");
        assert_eq!(Packet::parse(good[..19].to_vec()), None);
        assert_eq!(Packet::parse(Vec::new()), None);
    }

    /// The sum over 16-bit words that is all ones where a checksum among them holds.
    fn sum(words: &[&[u8]]) -> u16 {
        let words = words.iter().flat_map(|bytes| bytes.chunks(2));
        let mut sum: u32 = words
            .map(|word| u32::from(u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)])))
            .sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// The header's sum, and that of what is behind it with the addresses.
    fn sums(packet: &Packet) -> (u16, u16) {
        let (header, rest) = packet.bytes().split_at(HEADER_BYTES_MIN);
        let length = (rest.len() as u16).to_be_bytes();
        (sum(&[header]), sum(&[&header[12..], &[0, header[9]], &length, rest]))
    }

    /// A packet whose checksums hold.
    fn summed(protocol: u8, body: &[u8]) -> Packet {
        let mut packet = made(THERE, protocol, 20 + body.len() as u16, 0);
        packet.bytes[HEADER_BYTES_MIN..].copy_from_slice(body);
        let at = 20 + if protocol == TCP { TCP_CHECKSUM_AT } else { UDP_CHECKSUM_AT };
        packet.put(CHECKSUM_AT, 0);
        packet.put(at, 0);
        let (header, rest) = sums(&packet);
        packet.put(CHECKSUM_AT, !header);
        packet.put(at, if protocol == UDP && rest == 0xffff { 0xffff } else { !rest });
        packet
    }

    proptest! {
        #[test]
        fn checksums_hold_after_a_change_of_addresses(
            body in proptest::collection::vec(any::<u8>(), 20..60),
            tcp: bool, source: u32, destination: u32,
        ) {
            let mut packet = summed(if tcp { TCP } else { UDP }, &body);
            prop_assert_eq!(sums(&packet), (0xffff, 0xffff));
            packet.set_source(source.into());
            packet.set_destination(destination.into());
            prop_assert_eq!(sums(&packet), (0xffff, 0xffff));
            prop_assert_eq!(packet.destination(), Ipv4Addr::from(destination));
            let written = Packet::parse(packet.bytes().to_vec());
            prop_assert_eq!(written, Some(packet));
        }

        #[test]
        fn any_bytes_are_a_packet_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(packet) = Packet::parse(bytes.clone()) {
                prop_assert_eq!(packet.bytes(), bytes);
            }
        }
    }
}

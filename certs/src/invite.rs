//! The invite: one line that tells a new agent where its hub is and how to know it.
//!
//! ```text
//! weft-invite-1.<base64url without padding of>
//!     hub id            16
//!     expiry             8   microseconds since 1970, big-endian
//!     current pin       32
//!     next pin          32
//!     token             32
//!     address count      1   1 to 4
//!     per address        1   length, 1 to 255
//!                        n   host:port, ASCII
//!     checksum           8   first bytes of SHA-256("weft-invite-1." ‖ all of the above)
//! ```
//! The checksum finds slips of copying; it proves nothing about who made the line. The line is a
//! secret until it expires or is used: only `Display` writes it out, `Debug` does not.

use crate::pin::{Pins, SpkiHash};
use crate::token::{TOKEN_LEN, Token};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;
use weft_proto::ids::HubId;
use weft_proto::time::Timestamp;
use zeroize::Zeroizing;

/// What an invite begins with; the number is the version of the layout.
const HEAD: &str = "weft-invite-1.";
/// What an invite of any version begins with.
const FAMILY: &str = "weft-invite-";
/// The most addresses in one invite.
pub const MAX_INVITE_ADDRESSES: usize = 4;
/// The longest address, in bytes.
pub const MAX_HUB_ADDRESS_LEN: usize = 255;
/// Bytes before the first address.
const FIXED_LEN: usize = 16 + 8 + 32 + 32 + TOKEN_LEN + 1;
const CHECKSUM_LEN: usize = 8;
const MAX_BINARY_LEN: usize =
    FIXED_LEN + MAX_INVITE_ADDRESSES * (1 + MAX_HUB_ADDRESS_LEN) + CHECKSUM_LEN;
/// The longest invite, in characters.
pub const MAX_INVITE_LEN: usize = HEAD.len() + (MAX_BINARY_LEN * 4).div_ceil(3);

/// A text that is not an address of a hub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an address: want host:port, such as hub.example:7443 or [2001:db8::1]:7443"
)]
pub struct InvalidHubAddress {
    /// The text, shortened to [`MAX_HUB_ADDRESS_LEN`] characters.
    pub text: String,
}

/// Where a hub's agents' door is: a host name or IP address, and a UDP port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HubAddress {
    /// The host; an IPv6 address stands without brackets.
    host: String,
    port: u16,
}

impl HubAddress {
    /// The host, as a resolver takes it: an IPv6 address stands without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The UDP port, never 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for HubAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HubAddress {
    type Err = InvalidHubAddress;

    fn from_str(text: &str) -> Result<Self, InvalidHubAddress> {
        parse_address(text).ok_or_else(|| InvalidHubAddress {
            text: text.chars().take(MAX_HUB_ADDRESS_LEN).collect(),
        })
    }
}

fn parse_address(text: &str) -> Option<HubAddress> {
    if text.len() > MAX_HUB_ADDRESS_LEN {
        return None;
    }
    let (host, port_text) = text.rsplit_once(':')?;
    // `parse` alone would take "+80" and "0080": one address, one text.
    let port: u16 = port_text.parse().ok()?;
    if port == 0 || port.to_string() != port_text {
        return None;
    }
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok()?.to_string(),
        None => {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            if host.is_empty() || !host.bytes().all(plain) {
                return None;
            }
            host.to_owned()
        }
    };
    let address = HubAddress { host, port };
    // An IPv6 address may grow when it is written canonically, never beyond the limit.
    (address.to_string().len() <= MAX_HUB_ADDRESS_LEN).then_some(address)
}

/// A text that is not an invite. Never quotes the text, which may hold a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// It does not begin like an invite.
    #[error("this is not an invite: one begins with {HEAD}")]
    NotAnInvite,
    /// An invite of a layout that this version does not know.
    #[error("this invite is of another version of Weft: this one reads {HEAD}")]
    Version,
    /// Longer than [`MAX_INVITE_LEN`].
    #[error("the invite is longer than {MAX_INVITE_LEN} characters")]
    TooLong,
    /// A character that no invite has.
    #[error("the invite holds a character that does not belong there")]
    Alphabet,
    /// Its end is missing.
    #[error("the invite is cut off: copy the whole line")]
    Truncated,
    /// Something in it was changed.
    #[error("the invite's checksum does not fit: copy the line again")]
    Checksum,
    /// Without addresses, or with more than [`MAX_INVITE_ADDRESSES`].
    #[error("an invite has 1 to {MAX_INVITE_ADDRESSES} addresses")]
    AddressCount,
    /// One of its addresses is none.
    #[error("one of the invite's addresses is not host:port")]
    Address,
}

/// An invite whose time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the invite has expired: ask the hub's operator for a new one")]
pub struct Expired {
    /// When it expired.
    pub at: Timestamp,
}

/// What an owner hands to a new agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    hub: HubId,
    addresses: Vec<HubAddress>,
    pins: Pins,
    token: Token,
    expiry: Timestamp,
}

impl Invite {
    /// Puts an invite together.
    ///
    /// # Errors
    /// [`InviteError::AddressCount`] unless there are 1 to 4 addresses.
    pub fn new(
        hub: HubId,
        addresses: Vec<HubAddress>,
        pins: Pins,
        token: Token,
        expiry: Timestamp,
    ) -> Result<Self, InviteError> {
        if addresses.is_empty() || addresses.len() > MAX_INVITE_ADDRESSES {
            return Err(InviteError::AddressCount);
        }
        Ok(Self { hub, addresses, pins, token, expiry })
    }

    /// Which hub invites.
    #[must_use]
    pub const fn hub(&self) -> HubId {
        self.hub
    }

    /// Where its agents' doors are; 1 to 4.
    #[must_use]
    pub fn addresses(&self) -> &[HubAddress] {
        &self.addresses
    }

    /// How to know it.
    #[must_use]
    pub const fn pins(&self) -> Pins {
        self.pins
    }

    /// What to show it.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// Until when it holds.
    #[must_use]
    pub const fn expiry(&self) -> Timestamp {
        self.expiry
    }

    /// Whether the invite still holds at `now`. The hub's own clock has the last word.
    ///
    /// # Errors
    /// [`Expired`] from the moment of expiry on.
    pub fn check_expiry(&self, now: Timestamp) -> Result<(), Expired> {
        if now < self.expiry { Ok(()) } else { Err(Expired { at: self.expiry }) }
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Sized once, so that growing leaves no copy of the token behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BINARY_LEN));
        bytes.extend_from_slice(self.hub.as_bytes());
        bytes.extend_from_slice(&self.expiry.as_micros().to_be_bytes());
        bytes.extend_from_slice(self.pins.current.as_bytes());
        bytes.extend_from_slice(self.pins.next.as_bytes());
        bytes.extend_from_slice(self.token.expose());
        // Both lengths are bounded where the values are made, below 256.
        bytes.push(u8::try_from(self.addresses.len()).unwrap_or(u8::MAX));
        for address in &self.addresses {
            let text = address.to_string();
            bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(text.as_bytes());
        }
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, InviteError> {
        // The checksum comes first: whatever else is wrong, a slip is the likeliest cause. A line
        // whose own lengths reach beyond its end was cut.
        let body_len = body_len(bytes).ok_or(InviteError::Truncated)?;
        if bytes.len() < body_len + CHECKSUM_LEN {
            return Err(InviteError::Truncated);
        }
        let (body, sum) = bytes.split_at(body_len);
        if checksum(body) != sum {
            return Err(InviteError::Checksum);
        }
        let mut rest = body;
        let hub = HubId::from_slice(take(&mut rest, 16)?).map_err(|_| InviteError::Truncated)?;
        let expiry = Timestamp::from_micros(u64::from_be_bytes(take_array(&mut rest)?));
        let pins = Pins {
            current: SpkiHash::from_bytes(take_array(&mut rest)?),
            next: SpkiHash::from_bytes(take_array(&mut rest)?),
        };
        let token = Token::from_slice(take(&mut rest, TOKEN_LEN)?).ok_or(InviteError::Truncated)?;
        let [count] = take_array(&mut rest)?;
        if count == 0 || usize::from(count) > MAX_INVITE_ADDRESSES {
            return Err(InviteError::AddressCount);
        }
        let mut addresses = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let [len] = take_array(&mut rest)?;
            let text = std::str::from_utf8(take(&mut rest, usize::from(len))?)
                .map_err(|_| InviteError::Address)?;
            let address: HubAddress = text.parse().map_err(|_| InviteError::Address)?;
            // One invite, one text: an address in another spelling is refused.
            if address.to_string() != text {
                return Err(InviteError::Address);
            }
            addresses.push(address);
        }
        Self::new(hub, addresses, pins, token, expiry)
    }
}

/// Writes the whole line, token included: for handing over, never for a log.
impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(self.to_bytes().as_slice()));
        write!(f, "{HEAD}{}", text.as_str())
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    /// Reads an invite; white space around it is ignored.
    fn from_str(text: &str) -> Result<Self, InviteError> {
        let text = text.trim_ascii();
        if text.len() > MAX_INVITE_LEN {
            return Err(InviteError::TooLong);
        }
        let Some(body) = text.strip_prefix(HEAD) else {
            let other = text.starts_with(FAMILY);
            return Err(if other { InviteError::Version } else { InviteError::NotAnInvite });
        };
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).map_err(|error| match error {
            base64::DecodeError::InvalidByte(..) => InviteError::Alphabet,
            base64::DecodeError::InvalidLength(_)
            | base64::DecodeError::InvalidLastSymbol { .. }
            | base64::DecodeError::InvalidPadding => InviteError::Truncated,
        })?);
        Self::from_bytes(&bytes)
    }
}

/// How long everything before the checksum says that it is; `None` where it is cut.
fn body_len(bytes: &[u8]) -> Option<usize> {
    let count = *bytes.get(FIXED_LEN - 1)?;
    let mut len = FIXED_LEN;
    for _ in 0..count {
        len += 1 + usize::from(*bytes.get(len)?);
    }
    Some(len)
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let digest = Sha256::new().chain_update(HEAD).chain_update(body).finalize();
    let mut checksum = [0; CHECKSUM_LEN];
    checksum.copy_from_slice(&digest[..CHECKSUM_LEN]);
    checksum
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], InviteError> {
    let (taken, after) = rest.split_at_checked(len).ok_or(InviteError::Truncated)?;
    *rest = after;
    Ok(taken)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], InviteError> {
    take(rest, N)?.try_into().map_err(|_| InviteError::Truncated)
}

#[cfg(test)]
mod tests;

//! Checkpoints as text under signatures: C2SP `signed-note`, `tlog-checkpoint`, `tlog-cosignature`.
//!
//! ```text
//! weft-ledger/01920c1e-…/1                          origin: the agent and the epoch
//! 4711                                              entries
//! wH6nM2…=                                          root, base64
//! hub 90210 Kx1…=                                   the newest head of the hub's journal known, if any
//!
//! — weft-ledger/01920c1e-…/1 Az3X…                  the agent: Ed25519 over all above the blank line
//! — weft-hub/0191f0aa-… q81B…                       the hub, later, with a time and its own journal
//! ```
//! The two heads in one signed text are what keeps both sides from rewriting what they have shown:
//! the hub signs the agent's text behind its own time and the head of its journal ([`Shown`]).
//! Cosignatures of before, which say nothing of the journal, are C2SP's `cosignature/v1`.
//! Keys are values that come in; nothing here makes chance or reads a file.

use super::body::HubHead;
use super::journal::Shown;
use super::tree::Hash;
use crate::ids::{AgentId, HubId};
use crate::limits::NOTE_BYTES_MAX;
use crate::wire::receipts::Showing;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::fmt;

/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;
/// C2SP's number of a plain Ed25519 signature.
const ED25519_SIGNATURE: u8 = 0x01;
/// C2SP's number of an Ed25519 cosignature with a time.
const ED25519_COSIGNATURE: u8 = 0x04;
/// C2SP's number of a kind that is named in full behind it.
const NAMED_KIND: u8 = 0xff;
/// The name of the hub's signature that says its journal's head too.
const WITNESSED: &str = "weft-cosignature/v2";
/// What begins a signature's line.
const SIGNATURE_LINE: &str = "\u{2014} ";

/// Bytes that are no Ed25519 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 key")]
pub struct BadKey(());

/// A text that is no signed checkpoint; it names the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a signed checkpoint: {0}")]
pub struct BadNote(&'static str);

/// An Ed25519 signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; SIGNATURE_BYTES]);

impl Signature {
    /// The signature with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; SIGNATURE_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SIGNATURE_BYTES] {
        &self.0
    }
}

/// An Ed25519 public key. Any 32 bytes; those that are no key verify nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this key made `signature` over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, &signature.0).is_ok()
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// An Ed25519 key that signs. Its `Debug` shows the public half alone.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key that this seed makes.
    ///
    /// # Errors
    /// [`BadKey`] where the crypto library refuses it.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, BadKey> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| BadKey(()))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signs.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        let mut bytes = [0; SIGNATURE_BYTES];
        bytes.copy_from_slice(self.0.sign(message).as_ref());
        Signature(bytes)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public()).finish()
    }
}

/// What a checkpoint says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// Whose ledger.
    pub agent: AgentId,
    /// Which epoch of it.
    pub epoch: u64,
    /// Entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// The newest head of the hub's journal that the agent has seen.
    pub hub: Option<HubHead>,
}

impl Statement {
    /// The first line, which is also the name of the agent's key.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("weft-ledger/{}/{}", self.agent, self.epoch)
    }

    /// The text that is signed: it ends with a line feed.
    #[must_use]
    pub fn text(&self) -> String {
        let root = BASE64.encode(self.root.as_bytes());
        let mut text = format!("{}\n{}\n{root}\n", self.origin(), self.size);
        if let Some(hub) = self.hub {
            text += &format!("hub {} {}\n", hub.size, BASE64.encode(hub.root.as_bytes()));
        }
        text
    }

    /// The agent's signature.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> Signature {
        key.sign(self.text().as_bytes())
    }

    /// What a cosignature at `at_secs` seconds since 1970 is made over: with what the hub shows of
    /// its journal, or, as it was before, without.
    #[must_use]
    pub fn cosigned_text(&self, at_secs: u64, journal: Option<&Shown>) -> String {
        let Some(Shown { head, how, growth }) = journal else {
            return format!("cosignature/v1\ntime {at_secs}\n{}", self.text());
        };
        let (root, growth) =
            (BASE64.encode(head.root.as_bytes()), BASE64.encode(growth.as_bytes()));
        let (size, how) = (head.size, how.name());
        let own = format!("time {at_secs}\njournal {size} {root}\nshown {how} {growth}\n");
        format!("{WITNESSED}\n{own}{}", self.text())
    }

    /// Reads the text that is signed.
    ///
    /// # Errors
    /// [`BadNote`] for anything that [`Statement::text`] does not write.
    pub fn parse(text: &str) -> Result<Self, BadNote> {
        let mut lines = text.lines();
        let origin = lines.next().ok_or(BadNote("origin"))?;
        let (agent, epoch) = origin
            .strip_prefix("weft-ledger/")
            .and_then(|rest| rest.split_once('/'))
            .ok_or(BadNote("origin"))?;
        let statement = Self {
            agent: agent.parse().map_err(|_| BadNote("origin"))?,
            epoch: epoch.parse().map_err(|_| BadNote("origin"))?,
            size: lines.next().and_then(|size| size.parse().ok()).ok_or(BadNote("size"))?,
            root: lines.next().and_then(hash_of).ok_or(BadNote("root"))?,
            hub: match lines.next() {
                None => None,
                Some(line) => {
                    let mut words = line.split(' ');
                    let hub = (words.next(), words.next(), words.next(), words.next());
                    let (Some("hub"), Some(size), Some(root), None) = hub else {
                        return Err(BadNote("hub"));
                    };
                    let size = size.parse().map_err(|_| BadNote("hub"))?;
                    Some(HubHead { size, root: hash_of(root).ok_or(BadNote("hub"))? })
                }
            },
        };
        // One form only: what is parsed is what was signed.
        if statement.text() == text { Ok(statement) } else { Err(BadNote("form")) }
    }
}

/// A hub's cosignature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cosignature {
    /// Seconds since 1970, by the hub's clock.
    pub at_secs: u64,
    /// What the hub shows of its own journal; none in cosignatures of before.
    pub journal: Option<Shown>,
    /// Over [`Statement::cosigned_text`].
    pub signature: Signature,
}

impl Cosignature {
    /// Signs `statement` for a hub.
    #[must_use]
    pub fn sign(
        statement: &Statement,
        at_secs: u64,
        journal: Option<Shown>,
        key: &SigningKey,
    ) -> Self {
        let text = statement.cosigned_text(at_secs, journal.as_ref());
        Self { at_secs, journal, signature: key.sign(text.as_bytes()) }
    }

    /// Whether `key` made it for `statement`.
    #[must_use]
    pub fn holds(&self, statement: &Statement, key: &PublicKey) -> bool {
        let text = statement.cosigned_text(self.at_secs, self.journal.as_ref());
        key.verifies(text.as_bytes(), &self.signature)
    }

    /// What stands behind the key's id in a note's line.
    fn blob(&self) -> Vec<u8> {
        let mut blob = self.at_secs.to_be_bytes().to_vec();
        if let Some(Shown { head, how, growth }) = &self.journal {
            blob.extend_from_slice(&head.size.to_be_bytes());
            blob.extend_from_slice(head.root.as_bytes());
            blob.push(*how as u8);
            blob.extend_from_slice(growth.as_bytes());
        }
        blob.extend_from_slice(self.signature.as_bytes());
        blob
    }

    fn parse(blob: &[u8], witnessed: bool) -> Option<Self> {
        let (at_secs, mut rest) = blob.split_first_chunk()?;
        let journal = if witnessed {
            let (size, behind) = rest.split_first_chunk()?;
            let (root, behind) = behind.split_first_chunk()?;
            let (how, behind) = behind.split_first()?;
            let (growth, behind) = behind.split_first_chunk()?;
            rest = behind;
            let head = HubHead { size: u64::from_be_bytes(*size), root: Hash::new(*root) };
            Some(Shown { head, how: Showing::from_number(*how)?, growth: Hash::new(*growth) })
        } else {
            None
        };
        let signature = Signature(rest.try_into().ok()?);
        Some(Self { at_secs: u64::from_be_bytes(*at_secs), journal, signature })
    }
}

/// A checkpoint with its signatures, as a signed note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedNote {
    /// What it says.
    pub statement: Statement,
    /// The agent's signature.
    pub signature: Signature,
    /// The hub's cosignature, where there is one.
    pub cosignature: Option<Cosignature>,
}

impl SignedNote {
    /// The note with the agent's signature by `agent_key`, and the hub's under its name and key
    /// where there is one.
    #[must_use]
    pub fn text(&self, agent_key: &PublicKey, hub: Option<(HubId, &PublicKey)>) -> String {
        let name = self.statement.origin();
        let id = key_id(&name, ED25519_SIGNATURE, agent_key);
        let blob = [&id[..], self.signature.as_bytes()].concat();
        let mut note = self.statement.text();
        note += &format!("\n{SIGNATURE_LINE}{name} {}\n", BASE64.encode(blob));
        if let (Some(cosigned), Some((hub, key))) = (self.cosignature, hub) {
            let name = hub_name(hub);
            let id = hub_key_id(&name, cosigned.journal.is_some(), key);
            let blob = [&id[..], &cosigned.blob()].concat();
            note += &format!("{SIGNATURE_LINE}{name} {}\n", BASE64.encode(blob));
        }
        note
    }

    /// Reads a note and checks the agent's signature, and the hub's where its key is given and the
    /// note carries a line of it. Lines of others are skipped, as the format wants.
    ///
    /// # Errors
    /// [`BadNote`] for what is no such note, and for a signature of a known key that does not hold.
    pub fn open(
        note: &[u8],
        agent_key: &PublicKey,
        hub: Option<(HubId, &PublicKey)>,
    ) -> Result<Self, BadNote> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(BadNote("length"));
        }
        let note = str::from_utf8(note).map_err(|_| BadNote("text"))?;
        let at = note.rfind("\n\n").ok_or(BadNote("signatures"))?;
        let (text, lines) = (&note[..=at], &note[at + 2..]);
        let statement = Statement::parse(text)?;
        let name = statement.origin();
        let agent_id = key_id(&name, ED25519_SIGNATURE, agent_key);
        let hub = hub.map(|(id, key)| (hub_name(id), key)).map(|(name, key)| {
            let ids = [false, true].map(|witnessed| hub_key_id(&name, witnessed, key));
            (name, ids, key)
        });
        let (mut signature, mut cosignature) = (None, None);
        for line in lines.lines() {
            let (signer, blob) = line
                .strip_prefix(SIGNATURE_LINE)
                .and_then(|rest| rest.split_once(' '))
                .ok_or(BadNote("signature line"))?;
            let blob = BASE64.decode(blob).map_err(|_| BadNote("signature line"))?;
            let (id, blob) = blob.split_first_chunk::<4>().ok_or(BadNote("signature line"))?;
            if signer == name && *id == agent_id {
                let made = Signature(blob.try_into().map_err(|_| BadNote("signature"))?);
                if !agent_key.verifies(text.as_bytes(), &made) {
                    return Err(BadNote("the agent's signature"));
                }
                signature = Some(made);
            }
            if let Some((_, [_, witnessed], key)) =
                hub.as_ref().filter(|(name, ids, _)| signer == name && ids.contains(id))
            {
                let made = Cosignature::parse(blob, id == witnessed);
                let made = made.ok_or(BadNote("cosignature"))?;
                if !made.holds(&statement, key) {
                    return Err(BadNote("the hub's cosignature"));
                }
                cosignature = Some(made);
            }
        }
        let signature = signature.ok_or(BadNote("no signature of the agent"))?;
        Ok(Self { statement, signature, cosignature })
    }
}

/// The name of a hub's key.
fn hub_name(hub: HubId) -> String {
    format!("weft-hub/{hub}")
}

/// C2SP: the first four bytes of SHA-256(name ‖ 0x0A ‖ kind ‖ key).
fn key_id(name: &str, kind: u8, key: &PublicKey) -> [u8; 4] {
    let hash = Hash::of(&[name.as_bytes(), b"\n", &[kind], key.as_bytes()]);
    let [a, b, c, d, ..] = *hash.as_bytes();
    [a, b, c, d]
}

/// The id of a hub's key in a note: of the kind of its cosignatures.
fn hub_key_id(name: &str, witnessed: bool, key: &PublicKey) -> [u8; 4] {
    if !witnessed {
        return key_id(name, ED25519_COSIGNATURE, key);
    }
    let kind = [&[NAMED_KIND], WITNESSED.as_bytes()].concat();
    let hash = Hash::of(&[name.as_bytes(), b"\n", &kind, key.as_bytes()]);
    let [a, b, c, d, ..] = *hash.as_bytes();
    [a, b, c, d]
}

fn hash_of(text: &str) -> Option<Hash> {
    BASE64.decode(text).ok()?.try_into().ok().map(Hash::new)
}

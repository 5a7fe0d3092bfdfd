//! The keys that name stored objects: data, and how a key is told from one that is almost it.

use super::Holds;
use super::item::{self, CONTENT_KEYS, TEXT_KEY};
use crate::objects::ObjectKind;

/// What a key wants of its value.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    #[default]
    Nothing,
    /// An id.
    Id(ObjectKind),
    /// An array of ids.
    Ids(ObjectKind),
    /// An id, or an object that may hold one.
    IdOrObject(ObjectKind),
    /// Whatever it is, it is refused: a kind that nobody keeps account of.
    NoneOfTheirs,
    /// An object that may name a prompt of the owner, or anything else.
    Prompt,
    /// What only the owner of the key may use, a stored prompt by its id among it: refused.
    Owners,
    /// The id of a skill, which may be the owner's.
    Skill,
    /// The name of a voice; or the id of one that the owner has had made, bare or in an object.
    Voice,
    /// An item's id.
    ItemId,
    /// An item's type.
    ItemType,
    /// An item's encrypted content.
    ItemSeal,
    /// An item's content, by the bit of its key.
    ItemContent(u16),
    /// The same, where only text is content.
    ItemText(u16),
}

/// A known key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// Its bit among those that one object may hold once.
    pub(super) bit: u32,
    pub(super) wanted: Wanted,
}

/// What a key's text is.
pub(super) enum Lookup {
    Unknown,
    /// A known key to parsers that do not mind the case of letters.
    Almost,
    Known(Key),
}

/// The keys that count wherever they stand.
const ANYWHERE: &[(&str, Wanted)] = &[
    ("file_id", Wanted::Id(ObjectKind::File)),
    ("input_file_id", Wanted::Id(ObjectKind::File)),
    ("file_ids", Wanted::Ids(ObjectKind::File)),
    ("container_id", Wanted::Id(ObjectKind::Container)),
    ("container", Wanted::IdOrObject(ObjectKind::Container)),
    ("conversation", Wanted::IdOrObject(ObjectKind::Conversation)),
    ("previous_response_id", Wanted::Id(ObjectKind::Response)),
    ("vector_store_id", Wanted::NoneOfTheirs),
    ("vector_store_ids", Wanted::NoneOfTheirs),
    ("prompt", Wanted::Prompt),
    ("skill_id", Wanted::Skill),
    ("voice", Wanted::Voice),
    // Azure reads them with the identity of the owner's own resource.
    ("data_sources", Wanted::Owners),
];

const _: () = assert!(ANYWHERE.len() <= 16, "the bits of these keys run into those below");

/// The keys of the outermost object in which exact paths count, so that they must be read alike by
/// everybody.
const TOP: &[&str] = &["input", "items", "messages"];

/// The first bits are those of [`ANYWHERE`]; these follow.
const ID_BIT: u32 = 1 << 16;
const TYPE_BIT: u32 = 1 << 17;
const SEAL_BIT: u32 = 1 << 18;

/// The bit of the first of [`CONTENT_KEYS`]; the others follow.
const CONTENT_BIT: u32 = 1 << 19;

const _: () = assert!(CONTENT_KEYS.len() <= 13, "no bits are left for these keys");

/// Finds a key of an object that `holds` this, at the `top` or further in.
pub(super) fn lookup(key: &[u8], top: bool, holds: Holds) -> Lookup {
    let own: &[(&str, u32, Wanted)] = match holds {
        Holds::Anything | Holds::Ids(_) => &[],
        Holds::Object(kind) => &[("id", ID_BIT, Wanted::Id(kind))],
        Holds::Prompt => &[("id", ID_BIT, Wanted::Owners)],
        Holds::Item => &[
            ("id", ID_BIT, Wanted::ItemId),
            ("type", TYPE_BIT, Wanted::ItemType),
            ("encrypted_content", SEAL_BIT, Wanted::ItemSeal),
        ],
    };
    for (known, bit, wanted) in own {
        if known.as_bytes() == key {
            return Lookup::Known(Key { bit: *bit, wanted: *wanted });
        }
        if alike(known, key) {
            return Lookup::Almost;
        }
    }
    for (at, (known, wanted)) in ANYWHERE.iter().enumerate() {
        if known.as_bytes() == key {
            return Lookup::Known(Key { bit: 1 << at, wanted: *wanted });
        }
        if alike(known, key) {
            return Lookup::Almost;
        }
    }
    if top && TOP.iter().any(|known| is_almost(known, key)) {
        return Lookup::Almost;
    }
    if holds == Holds::Item {
        // Given twice, it could be content to the scan and nothing to the provider.
        for (at, known) in CONTENT_KEYS.iter().enumerate() {
            if known.as_bytes() == key {
                let bit = item::bit_of(known);
                let text = *known == TEXT_KEY;
                let wanted = if text { Wanted::ItemText(bit) } else { Wanted::ItemContent(bit) };
                return Lookup::Known(Key { bit: CONTENT_BIT << at, wanted });
            }
            if alike(known, key) {
                return Lookup::Almost;
            }
        }
    }
    Lookup::Unknown
}

fn is_almost(known: &str, key: &[u8]) -> bool {
    known.as_bytes() != key && alike(known, key)
}

/// Whether `key` is the lower-case `known` to a parser that does not mind the case of letters: some
/// of them take two letters from beyond ASCII for an `s` and a `k`.
pub(in crate::scan) fn alike(known: &str, key: &[u8]) -> bool {
    if key.is_ascii() {
        return known.as_bytes().eq_ignore_ascii_case(key);
    }
    let plain = |letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    std::str::from_utf8(key).is_ok_and(|key| key.chars().map(plain).eq(known.chars()))
}

/// Whether a skill or a voice is one that the owner has made: the providers' own have plain names.
pub(super) fn is_owners(id: &[u8]) -> bool {
    id.starts_with(b"skill_") || id.starts_with(b"voice_")
}

/// What a form's field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scan) enum FormField {
    /// It names an object of this kind.
    Id(ObjectKind),
    /// It names an object of a kind that nobody keeps account of.
    NoneOfTheirs,
    /// Parsers differ in whether it names one.
    Almost,
}

/// What the field called `name` is: by its last bracket that is not an index, or by the whole of
/// it. `None` for a field that names no object.
pub(in crate::scan) fn form_field(name: &str) -> Option<FormField> {
    let index = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let last = name.split(['[', ']', '.']).rfind(|part| !index(part))?;
    let (known, wanted) =
        ANYWHERE.iter().find(|(known, _)| known.eq_ignore_ascii_case(last.trim()))?;
    let field = match wanted {
        Wanted::Id(kind) | Wanted::Ids(kind) | Wanted::IdOrObject(kind) => FormField::Id(*kind),
        Wanted::NoneOfTheirs => FormField::NoneOfTheirs,
        Wanted::Nothing
        | Wanted::Prompt
        | Wanted::Owners
        | Wanted::Skill
        | Wanted::Voice
        | Wanted::ItemId
        | Wanted::ItemType
        | Wanted::ItemSeal
        | Wanted::ItemContent(_)
        | Wanted::ItemText(_) => return None,
    };
    Some(if *known == last { field } else { FormField::Almost })
}

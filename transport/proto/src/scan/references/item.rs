//! One item of a request's input: whether its `id` makes the provider look something up.
//!
//! An item that carries its own content names itself by its id; any other is a reference to an item
//! that the provider has stored. What counts as content is a list: a type that the list does not
//! know is taken for a reference.

use super::ScanError;
use crate::objects::ObjectId;

/// The types that carry their content, each with the key that it stands under.
const CONTENT: &[(&str, &str)] = &[
    ("message", "content"),
    ("function_call", "arguments"),
    ("function_call_output", "output"),
    ("custom_tool_call", "input"),
    ("custom_tool_call_output", "output"),
    ("local_shell_call", "action"),
    ("local_shell_call_output", "output"),
    ("shell_call", "action"),
    ("shell_call_output", "output"),
    ("computer_call", "action"),
    ("computer_call", "actions"),
    ("computer_call_output", "output"),
    ("apply_patch_call", "operation"),
    ("apply_patch_call_output", "status"),
    ("mcp_approval_response", "approve"),
    ("mcp_call", "arguments"),
    ("mcp_list_tools", "tools"),
    ("tool_search_call", "arguments"),
    ("tool_search_output", "tools"),
    ("additional_tools", "tools"),
    ("agent_message", "content"),
    ("web_search_call", "action"),
    ("code_interpreter_call", "code"),
    ("file_search_call", "queries"),
    ("image_generation_call", "result"),
];

/// The keys under which content stands; each has a bit in [`Item`].
pub(super) const CONTENT_KEYS: &[&str] = &[
    "content",
    "arguments",
    "output",
    "input",
    "action",
    "actions",
    "operation",
    "status",
    "approve",
    "tools",
    "code",
    "queries",
    "result",
];

/// The types that bring what they stand for along encrypted. On any other the key means nothing, and
/// makes no stored item the caller's own.
const SEALED: &[&str] = &["reasoning", "compaction", "compaction_summary", "context_compaction"];

/// The key under which only text is content: a provider looks its item up where there is none.
pub(super) const TEXT_KEY: &str = "result";

/// What has been read of the open item.
#[derive(Debug, Default)]
pub(super) struct Item {
    id: Option<Option<ObjectId>>,
    /// The keys of [`CONTENT_KEYS`] that it has, a bit each.
    content: u16,
    /// The keys under which an item of its type carries its content, a bit each.
    wanted: u16,
    /// It is of a type that may come encrypted.
    sealable: bool,
    sealed: bool,
}

impl Item {
    /// The item's `id`; `None` where the text is no id.
    pub(super) fn named(&mut self, id: Option<ObjectId>) {
        self.id = Some(id);
    }

    pub(super) fn typed(&mut self, text: &[u8]) {
        let keys = CONTENT.iter().filter(|(kind, _)| kind.as_bytes() == text);
        self.wanted = keys.fold(0, |bits, (_, key)| bits | bit_of(key));
        self.sealable = SEALED.iter().any(|kind| kind.as_bytes() == text);
    }

    /// It has a value under the key of this bit.
    pub(super) fn content(&mut self, bit: u16) {
        self.content |= bit;
    }

    /// It has text where a type that may come encrypted has its content.
    pub(super) fn sealed(&mut self) {
        self.sealed = true;
    }

    /// The stored item that it stands for, if it does.
    pub(super) fn reference(self) -> Result<Option<ObjectId>, ScanError> {
        match self.id {
            None => Ok(None),
            Some(_) if self.sealed && self.sealable => Ok(None),
            Some(_) if self.content & self.wanted != 0 => Ok(None),
            Some(id) => id.map(Some).ok_or(ScanError::BadReference),
        }
    }
}

/// The bit of a content key; 0 for any other.
pub(super) fn bit_of(key: &str) -> u16 {
    CONTENT_KEYS.iter().position(|known| *known == key).map_or(0, |at| 1 << at)
}

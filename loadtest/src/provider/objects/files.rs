//! Files: sent whole, listed, read back, deleted; in OpenAI's shape and in Anthropic's.

use super::call::FileCall;
use super::shelf::{Held, Kind, Shelf};
use super::{Wanted, download, json, page};
use crate::provider::answer::{Answer, CREATED_SECS};
use crate::provider::refusal::Refusal;
use bytes::Bytes;
use serde_json::{Value, json};
use weft_proto::provider::Provider;

/// The moment at which everything simulated is created, in Anthropic's form.
pub(super) const CREATED_TEXT: &str = "2026-11-18T11:06:40Z";

pub(super) fn answer(
    shelf: &mut Shelf,
    call: &FileCall,
    wanted: Wanted<'_>,
) -> Result<Answer, Refusal> {
    match call {
        FileCall::Create => {
            let parts = wanted.form()?;
            let file = parts.iter().find(|part| part.name == "file");
            let file = file.ok_or_else(|| Refusal::Malformed("'file' is required".to_owned()))?;
            let purpose = parts.iter().find(|part| part.name == "purpose");
            let purpose = purpose.and_then(|part| part.text());
            if purpose.is_none() && wanted.provider != Provider::Anthropic {
                return Err(Refusal::Malformed("'purpose' is a required property".to_owned()));
            }
            let content = Bytes::copy_from_slice(file.bytes);
            let name = file.filename.unwrap_or("upload");
            Ok(json(&make(shelf, wanted.provider, name, purpose.unwrap_or_default(), content)))
        }
        FileCall::List => Ok(page::of(shelf.all(Kind::File, None), wanted)),
        FileCall::Get(id) => Ok(json(&shelf.known(Kind::File, id)?.document())),
        FileCall::Content(id) => Ok(download(shelf.known(Kind::File, id)?.content.clone())),
        FileCall::Delete(id) => {
            shelf.known(Kind::File, id)?;
            shelf.remove(id);
            Ok(json(&match wanted.provider {
                Provider::Anthropic => json!({ "id": id, "type": "file_deleted" }),
                Provider::OpenAi | Provider::Azure | Provider::DeepSeek => {
                    json!({ "id": id, "object": "file", "deleted": true })
                }
            }))
        }
    }
}

/// Makes a file and returns its document.
pub(super) fn make(
    shelf: &mut Shelf,
    provider: Provider,
    name: &str,
    purpose: &str,
    content: Bytes,
) -> Value {
    let bytes = content.len();
    let (id, document) = match provider {
        Provider::Anthropic => {
            let id = shelf.id("file_011C", 20);
            let document = json!({
                "type": "file", "id": id, "filename": name, "size_bytes": bytes,
                "mime_type": "application/octet-stream", "created_at": CREATED_TEXT,
                "downloadable": true,
            });
            (id, document)
        }
        Provider::OpenAi | Provider::Azure | Provider::DeepSeek => {
            let id = shelf.id("file-", 22);
            let document = json!({
                "object": "file", "id": id, "purpose": purpose, "filename": name, "bytes": bytes,
                "created_at": CREATED_SECS, "expires_at": null, "status": "processed",
                "status_details": null,
            });
            (id, document)
        }
    };
    shelf.put(&id, Kind::File, None, Held::Document(document.clone()), content);
    document
}

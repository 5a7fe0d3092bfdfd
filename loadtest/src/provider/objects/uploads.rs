//! Uploads: a file that is sent in parts and put together at the end.

use super::call::UploadCall;
use super::shelf::{Held, Kind, Shelf, missing};
use super::{Wanted, files, json};
use crate::provider::answer::{Answer, CREATED_SECS};
use crate::provider::refusal::Refusal;
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

/// How long an upload stays open, in seconds.
const OPEN_SECS: u64 = 3_600;

pub(super) fn answer(
    shelf: &mut Shelf,
    call: &UploadCall,
    wanted: Wanted<'_>,
) -> Result<Answer, Refusal> {
    let upload = match call {
        UploadCall::Create => {
            let document = wanted.document()?;
            let id = shelf.id("upload_", 32);
            let upload = json!({
                "id": id, "object": "upload", "bytes": document.get("bytes"),
                "created_at": CREATED_SECS, "filename": document.get("filename"),
                "purpose": document.get("purpose"), "status": "pending",
                "expires_at": CREATED_SECS + OPEN_SECS, "file": null,
            });
            shelf.put_document(Kind::Upload, None, &upload);
            upload
        }
        UploadCall::Part(id) => {
            pending(shelf, id)?;
            let parts = wanted.form()?;
            let data = parts.iter().find(|part| part.name == "data");
            let data = data.ok_or_else(|| Refusal::Malformed("'data' is required".to_owned()))?;
            let content = Bytes::copy_from_slice(data.bytes);
            let part = shelf.id("part_", 32);
            let document = json!({
                "id": part, "object": "upload.part", "created_at": CREATED_SECS, "upload_id": id,
            });
            let held = Held::Document(document.clone());
            shelf.put(&part, Kind::Part, Some(id), held, content);
            document
        }
        UploadCall::Complete(id) => {
            let upload = pending(shelf, id)?;
            let document = wanted.document()?;
            let parts = document.get("part_ids").and_then(Value::as_array);
            let parts =
                parts.ok_or_else(|| Refusal::Malformed("'part_ids' is required".to_owned()))?;
            let mut content = BytesMut::new();
            for part in parts {
                let name = part.as_str().unwrap_or_default();
                let known = shelf.get(Kind::Part, name);
                let known = known.filter(|part| part.parent.as_deref() == Some(id));
                content.extend_from_slice(
                    &known.ok_or_else(|| missing(Kind::Part, name, 400))?.content,
                );
            }
            if upload["bytes"].as_u64() != Some(content.len() as u64) {
                return Err(Refusal::Malformed("the parts are not of the stated size".to_owned()));
            }
            let text = |name: &str| upload[name].as_str().unwrap_or_default().to_owned();
            let (name, purpose) = (text("filename"), text("purpose"));
            let file = files::make(shelf, wanted.provider, &name, &purpose, content.freeze());
            ended(shelf, id, "completed", file)?
        }
        UploadCall::Cancel(id) => {
            pending(shelf, id)?;
            ended(shelf, id, "cancelled", Value::Null)?
        }
    };
    Ok(json(&upload))
}

/// The upload, where it still takes parts.
fn pending(shelf: &Shelf, id: &str) -> Result<Value, Refusal> {
    let upload = shelf.known(Kind::Upload, id)?.document();
    if upload["status"] == "pending" {
        return Ok(upload);
    }
    Err(Refusal::Malformed(format!("Upload {id} is not pending.")))
}

fn ended(shelf: &mut Shelf, id: &str, status: &str, file: Value) -> Result<Value, Refusal> {
    shelf.change(id, |upload| {
        upload["status"] = json!(status);
        upload["file"] = file;
    });
    Ok(shelf.known(Kind::Upload, id)?.document())
}

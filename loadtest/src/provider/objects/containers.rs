//! Containers and the files in them.

use super::call::ContainerCall;
use super::shelf::{Held, Kind, Object, Shelf, missing};
use super::{Wanted, download, json, page};
use crate::provider::answer::{Answer, CREATED_SECS};
use crate::provider::refusal::Refusal;
use bytes::Bytes;
use serde_json::{Value, json};

pub(super) fn answer(
    shelf: &mut Shelf,
    call: &ContainerCall,
    wanted: Wanted<'_>,
) -> Result<Answer, Refusal> {
    Ok(match call {
        ContainerCall::Create => {
            let document = wanted.document()?;
            let named = document.get("file_ids").and_then(Value::as_array);
            let mut copied = Vec::new();
            for file in named.into_iter().flatten() {
                let id = file.as_str().unwrap_or_default();
                copied.push(
                    shelf.get(Kind::File, id).ok_or_else(|| missing(Kind::File, id, 404))?.clone(),
                );
            }
            let name = document.get("name").and_then(Value::as_str).unwrap_or("container");
            let container = make(shelf, name);
            let id = container["id"].as_str().unwrap_or_default();
            for file in copied {
                copy(shelf, id, &file);
            }
            json(&container)
        }
        ContainerCall::List => page::of(shelf.all(Kind::Container, None), wanted),
        ContainerCall::Get(id) => json(&shelf.known(Kind::Container, id)?.document()),
        ContainerCall::Delete(id) => {
            shelf.known(Kind::Container, id)?;
            shelf.remove(id);
            json(&json!({ "id": id, "object": "container.deleted", "deleted": true }))
        }
        ContainerCall::Files(id) => {
            shelf.known(Kind::Container, id)?;
            page::of(shelf.all(Kind::ContainerFile, Some(id)), wanted)
        }
        ContainerCall::AddFile(id) => {
            shelf.known(Kind::Container, id)?;
            json(&add(shelf, id, wanted)?)
        }
        ContainerCall::File(id, file) => json(&inside(shelf, id, file)?.document()),
        ContainerCall::Content(id, file) => download(inside(shelf, id, file)?.content.clone()),
        ContainerCall::DeleteFile(id, file) => {
            inside(shelf, id, file)?;
            shelf.remove(file);
            json(&json!({ "id": file, "object": "container.file.deleted", "deleted": true }))
        }
    })
}

/// Makes a container and returns its document.
pub(super) fn make(shelf: &mut Shelf, name: &str) -> Value {
    let id = shelf.id("cntr_", 48);
    let container = json!({
        "id": id, "object": "container", "created_at": CREATED_SECS, "status": "running",
        "expires_after": { "anchor": "last_active_at", "minutes": 20 },
        "last_active_at": CREATED_SECS, "memory_limit": "1g", "name": name,
    });
    shelf.put_document(Kind::Container, None, &container);
    container
}

/// Makes a file in a container and returns its document.
pub(super) fn make_file(
    shelf: &mut Shelf,
    container: &str,
    name: &str,
    source: &str,
    content: Bytes,
) -> Value {
    let id = shelf.id("cfile_", 48);
    let file = json!({
        "id": id, "object": "container.file", "created_at": CREATED_SECS,
        "bytes": content.len(), "container_id": container, "path": format!("/mnt/data/{name}"),
        "source": source,
    });
    let held = Held::Document(file.clone());
    shelf.put(&id, Kind::ContainerFile, Some(container), held, content);
    file
}

fn copy(shelf: &mut Shelf, container: &str, file: &Object) -> Value {
    let document = file.document();
    let name = document["filename"].as_str().unwrap_or("file");
    make_file(shelf, container, name, "user", file.content.clone())
}

fn add(shelf: &mut Shelf, container: &str, wanted: Wanted<'_>) -> Result<Value, Refusal> {
    if let Ok(parts) = wanted.form() {
        let file = parts.iter().find(|part| part.name == "file" && part.filename.is_some());
        if let Some(file) = file {
            let content = Bytes::copy_from_slice(file.bytes);
            let name = file.filename.unwrap_or("file");
            return Ok(make_file(shelf, container, name, "user", content));
        }
        let named = parts.iter().find(|part| part.name == "file_id").and_then(|part| part.text());
        return by_id(shelf, container, named);
    }
    let document = wanted.document()?;
    by_id(shelf, container, document.get("file_id").and_then(Value::as_str))
}

fn by_id(shelf: &mut Shelf, container: &str, id: Option<&str>) -> Result<Value, Refusal> {
    let id = id.ok_or_else(|| Refusal::Malformed("'file' or 'file_id' is required".to_owned()))?;
    let file = shelf.get(Kind::File, id).ok_or_else(|| missing(Kind::File, id, 404))?.clone();
    Ok(copy(shelf, container, &file))
}

fn inside<'a>(shelf: &'a Shelf, container: &str, file: &str) -> Result<&'a Object, Refusal> {
    shelf.known(Kind::Container, container)?;
    let found = shelf.known(Kind::ContainerFile, file)?;
    if found.parent.as_deref() == Some(container) {
        return Ok(found);
    }
    Err(missing(Kind::ContainerFile, file, 404))
}

//! Conversations: items in an order, added by hand or by responses.

use super::call::ConversationCall;
use super::shelf::{Kind, Object, Shelf, missing};
use super::{Wanted, json, page, responses};
use crate::provider::answer::{Answer, CREATED_SECS};
use crate::provider::refusal::Refusal;
use serde_json::{Map, Value, json};

pub(super) fn answer(
    shelf: &mut Shelf,
    call: &ConversationCall,
    wanted: Wanted<'_>,
) -> Result<Answer, Refusal> {
    Ok(match call {
        ConversationCall::Create => {
            let document = wanted.document()?;
            let id = shelf.id("conv_", 50);
            let conversation = json!({
                "id": id, "object": "conversation", "created_at": CREATED_SECS,
                "metadata": metadata(&document),
            });
            shelf.put_document(Kind::Conversation, None, &conversation);
            responses::keep_items(shelf, &id, document.get("items"), usize::MAX);
            json(&conversation)
        }
        ConversationCall::Get(id) => json(&shelf.known(Kind::Conversation, id)?.document()),
        ConversationCall::Update(id) => {
            let metadata = metadata(&wanted.document()?);
            shelf.known(Kind::Conversation, id)?;
            shelf.change(id, |conversation| conversation["metadata"] = metadata);
            json(&shelf.known(Kind::Conversation, id)?.document())
        }
        ConversationCall::Delete(id) => {
            shelf.known(Kind::Conversation, id)?;
            shelf.remove(id);
            json(&json!({ "id": id, "object": "conversation.deleted", "deleted": true }))
        }
        ConversationCall::Items(id) => {
            shelf.known(Kind::Conversation, id)?;
            page::of(shelf.all(Kind::Item, Some(id)), wanted)
        }
        ConversationCall::AddItems(id) => {
            shelf.known(Kind::Conversation, id)?;
            let document = wanted.document()?;
            let added = responses::keep_items(shelf, id, document.get("items"), usize::MAX);
            let ends =
                (added.first().map(|item| &item["id"]), added.last().map(|item| &item["id"]));
            json(&json!({
                "object": "list", "data": added, "has_more": false,
                "first_id": ends.0, "last_id": ends.1,
            }))
        }
        ConversationCall::Item(id, item) => json(&inside(shelf, id, item)?.document()),
        ConversationCall::DeleteItem(id, item) => {
            inside(shelf, id, item)?;
            shelf.remove(item);
            json(&shelf.known(Kind::Conversation, id)?.document())
        }
    })
}

fn metadata(document: &Map<String, Value>) -> Value {
    document.get("metadata").filter(|value| value.is_object()).cloned().unwrap_or_else(|| json!({}))
}

fn inside<'a>(shelf: &'a Shelf, conversation: &str, item: &str) -> Result<&'a Object, Refusal> {
    shelf.known(Kind::Conversation, conversation)?;
    let found = shelf.known(Kind::Item, item)?;
    if found.parent.as_deref() == Some(conversation) {
        return Ok(found);
    }
    Err(missing(Kind::Item, item, 404))
}

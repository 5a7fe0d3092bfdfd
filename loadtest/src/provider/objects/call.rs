//! Which object a path means, and what is to be done with it.

use crate::provider::route::unescaped;
use http::Method;

/// A call on an object. The strings are ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    File(FileCall),
    Upload(UploadCall),
    Response(ResponseCall),
    Conversation(ConversationCall),
    Container(ContainerCall),
    Batch(BatchCall),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileCall {
    Create,
    List,
    Get(String),
    Content(String),
    Delete(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UploadCall {
    Create,
    Part(String),
    Complete(String),
    Cancel(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ResponseCall {
    Get(String),
    Delete(String),
    Cancel(String),
    Items(String),
    CountInput,
    Compact,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConversationCall {
    Create,
    Get(String),
    Update(String),
    Delete(String),
    Items(String),
    AddItems(String),
    Item(String, String),
    DeleteItem(String, String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContainerCall {
    Create,
    List,
    Get(String),
    Delete(String),
    Files(String),
    AddFile(String),
    File(String, String),
    Content(String, String),
    DeleteFile(String, String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BatchCall {
    Create,
    List,
    Get(String),
    Cancel(String),
    Results(String),
    Delete(String),
}

/// The verbs that objects take.
#[derive(Clone, Copy)]
enum Verb {
    Get,
    Post,
    Delete,
}

/// The call that `method` on `tail`, a path behind `/v1/`, makes.
pub(crate) fn of(method: &Method, tail: &str) -> Option<Call> {
    use Verb::{Delete, Get, Post};
    let verb = match *method {
        Method::GET | Method::HEAD => Get,
        Method::POST => Post,
        Method::DELETE => Delete,
        _ => return None,
    };
    let segments: Vec<String> =
        tail.split('/').map(|segment| unescaped(segment).into_owned()).collect();
    let names: Vec<&str> = segments.iter().map(String::as_str).collect();
    let own = |id: &str| id.to_owned();
    Some(match (verb, names.as_slice()) {
        (Post, ["files"]) => Call::File(FileCall::Create),
        (Get, ["files"]) => Call::File(FileCall::List),
        (Get, ["files", id]) => Call::File(FileCall::Get(own(id))),
        (Get, ["files", id, "content"]) => Call::File(FileCall::Content(own(id))),
        (Delete, ["files", id]) => Call::File(FileCall::Delete(own(id))),

        (Post, ["uploads"]) => Call::Upload(UploadCall::Create),
        (Post, ["uploads", id, "parts"]) => Call::Upload(UploadCall::Part(own(id))),
        (Post, ["uploads", id, "complete"]) => Call::Upload(UploadCall::Complete(own(id))),
        (Post, ["uploads", id, "cancel"]) => Call::Upload(UploadCall::Cancel(own(id))),

        (Post, ["responses", "input_tokens"]) => Call::Response(ResponseCall::CountInput),
        (Post, ["responses", "compact"]) => Call::Response(ResponseCall::Compact),
        (Get, ["responses", id]) => Call::Response(ResponseCall::Get(own(id))),
        (Delete, ["responses", id]) => Call::Response(ResponseCall::Delete(own(id))),
        (Post, ["responses", id, "cancel"]) => Call::Response(ResponseCall::Cancel(own(id))),
        (Get, ["responses", id, "input_items"]) => Call::Response(ResponseCall::Items(own(id))),

        (Post, ["conversations"]) => Call::Conversation(ConversationCall::Create),
        (Get, ["conversations", id]) => Call::Conversation(ConversationCall::Get(own(id))),
        (Post, ["conversations", id]) => Call::Conversation(ConversationCall::Update(own(id))),
        (Delete, ["conversations", id]) => Call::Conversation(ConversationCall::Delete(own(id))),
        (Get, ["conversations", id, "items"]) => {
            Call::Conversation(ConversationCall::Items(own(id)))
        }
        (Post, ["conversations", id, "items"]) => {
            Call::Conversation(ConversationCall::AddItems(own(id)))
        }
        (Get, ["conversations", id, "items", item]) => {
            Call::Conversation(ConversationCall::Item(own(id), own(item)))
        }
        (Delete, ["conversations", id, "items", item]) => {
            Call::Conversation(ConversationCall::DeleteItem(own(id), own(item)))
        }

        (Post, ["batches"] | ["messages", "batches"]) => Call::Batch(BatchCall::Create),
        (Get, ["batches"] | ["messages", "batches"]) => Call::Batch(BatchCall::List),
        (Get, ["batches", id] | ["messages", "batches", id]) => {
            Call::Batch(BatchCall::Get(own(id)))
        }
        (Post, ["batches", id, "cancel"] | ["messages", "batches", id, "cancel"]) => {
            Call::Batch(BatchCall::Cancel(own(id)))
        }
        (Get, ["messages", "batches", id, "results"]) => Call::Batch(BatchCall::Results(own(id))),
        (Delete, ["messages", "batches", id]) => Call::Batch(BatchCall::Delete(own(id))),

        (Post, ["containers"]) => Call::Container(ContainerCall::Create),
        (Get, ["containers"]) => Call::Container(ContainerCall::List),
        (Get, ["containers", id]) => Call::Container(ContainerCall::Get(own(id))),
        (Delete, ["containers", id]) => Call::Container(ContainerCall::Delete(own(id))),
        (Get, ["containers", id, "files"]) => Call::Container(ContainerCall::Files(own(id))),
        (Post, ["containers", id, "files"]) => Call::Container(ContainerCall::AddFile(own(id))),
        (Get, ["containers", id, "files", file]) => {
            Call::Container(ContainerCall::File(own(id), own(file)))
        }
        (Get, ["containers", id, "files", file, "content"]) => {
            Call::Container(ContainerCall::Content(own(id), own(file)))
        }
        (Delete, ["containers", id, "files", file]) => {
            Call::Container(ContainerCall::DeleteFile(own(id), own(file)))
        }
        (Get | Post | Delete, _) => return None,
    })
}

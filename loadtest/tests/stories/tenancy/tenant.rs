//! A user with a key, one provider's API, and the objects that can be made and named through it.

use crate::talk::*;
use http::Method;
use serde_json::{Value, json};
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::world::World;

/// More than the gate reads ahead of a dispatch.
const BEYOND_THE_PEEK: usize = 300 * 1_024;
const BOUNDARY: &str = "----weft-form";

/// What lives at a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Upload,
    Response,
    Conversation,
    Container,
    Item,
}

/// Whose API is spoken, and under which path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    OpenAi,
    AzureV1,
    AzureDated,
    Anthropic,
}

/// One request that names an object.
#[derive(Debug, Clone)]
pub(super) struct Use {
    /// For messages: where the object is named.
    pub(super) place: &'static str,
    pub(super) ask: Ask,
}

/// A user of a world.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tenant<'a> {
    pub(super) world: &'a World,
    pub(super) key: &'a str,
    pub(super) api: Api,
}

impl Tenant<'_> {
    /// A request of this user for `tail`, a path behind the API's own beginning.
    pub(super) fn ask(&self, method: Method, tail: &str, body: Option<&Value>) -> Ask {
        let text = body.map_or(String::new(), Value::to_string);
        self.signed(Ask::bare(method, &self.target(tail), text))
    }

    /// The same with a form: fields, and perhaps a file under a name.
    pub(super) fn form(
        &self,
        tail: &str,
        fields: &[(&str, &str)],
        file: Option<(&str, &[u8])>,
    ) -> Ask {
        let mut body = Vec::new();
        for (name, value) in fields {
            body.extend_from_slice(
                format!(
                    "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
                )
                .as_bytes(),
            );
        }
        if let Some((name, content)) = file {
            body.extend_from_slice(
                format!(
                    "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"; \
                     filename=\"warp.txt\"\r\ncontent-type: text/plain\r\n\r\n"
                )
                .as_bytes(),
            );
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        let ask = Ask::bare(Method::POST, &self.target(tail), body).without("content-type");
        self.signed(ask).with("content-type", &format!("multipart/form-data; boundary={BOUNDARY}"))
    }

    fn target(&self, tail: &str) -> String {
        match self.api {
            Api::OpenAi | Api::Anthropic => format!("/v1/{tail}"),
            Api::AzureV1 => format!("/azure/openai/v1/{tail}"),
            Api::AzureDated if tail.contains('?') => {
                format!("/openai/{tail}&api-version=2025-04-01-preview")
            }
            Api::AzureDated => format!("/openai/{tail}?api-version=2025-04-01-preview"),
        }
    }

    fn signed(&self, ask: Ask) -> Ask {
        match self.api {
            Api::OpenAi | Api::AzureV1 => {
                ask.with("authorization", &format!("Bearer {}", self.key))
            }
            Api::AzureDated => ask.with("api-key", self.key),
            Api::Anthropic => ask
                .with("x-api-key", self.key)
                .with("anthropic-version", "2023-06-01")
                .with("anthropic-beta", "files-api-2025-04-14,code-execution-2025-08-25"),
        }
    }

    pub(super) async fn say(&self, ask: &Ask) -> Answer {
        ask.over(self.world, Version::H2).await
    }

    /// Makes an object and returns its id.
    pub(super) async fn make(&self, kind: Kind) -> String {
        let ask = match (kind, self.api) {
            (Kind::File, Api::Anthropic) => self.form("files", &[], Some(("file", b"threads"))),
            (Kind::File, _) => {
                self.form("files", &[("purpose", "user_data")], Some(("file", b"threads")))
            }
            (Kind::Upload, _) => {
                let upload = json!({"bytes": 4, "filename": "a", "purpose": "user_data", "mime_type": "text/plain"});
                self.ask(Method::POST, "uploads", Some(&upload))
            }
            (Kind::Container, Api::Anthropic) => {
                let body = message(json!({"tools": [code_tool()]}));
                self.ask(Method::POST, "messages", Some(&body))
            }
            (Kind::Container, _) => {
                self.ask(Method::POST, "containers", Some(&json!({"name": "loom"})))
            }
            (Kind::Conversation, _) => self.ask(Method::POST, "conversations", Some(&json!({}))),
            (Kind::Response | Kind::Item, _) => {
                let body = json!({"model": "gpt-4o", "input": "Remember: warp."});
                self.ask(Method::POST, "responses", Some(&body))
            }
        };
        let answer = self.say(&ask).await;
        let document = answer.whole(200).json();
        let id = match (kind, self.api) {
            (Kind::Item, _) => &document["output"][0]["id"],
            (Kind::Container, Api::Anthropic) => &document["container"]["id"],
            (_, _) => &document["id"],
        };
        id.as_str().unwrap_or_else(|| panic!("no id: {document}")).to_owned()
    }

    /// Every way to name the object `id` that leaves it as it is. `own` is a container of this
    /// user's own.
    pub(super) fn uses(&self, kind: Kind, id: &str, own: Option<&str>) -> Vec<Use> {
        let get = |place, tail: &str| Use { place, ask: self.ask(Method::GET, tail, None) };
        let post = |place, tail: &str, body: &Value| Use {
            place,
            ask: self.ask(Method::POST, tail, Some(body)),
        };
        let respond = |place, body: Value| post(place, "responses", &with_model(body));
        let late = |rest: Value| self.late("responses", "gpt-4o", "instructions", &rest);
        match (kind, self.api) {
            (Kind::File, Api::Anthropic) => {
                let document =
                    json!({"type": "document", "source": {"type": "file", "file_id": id}});
                let nested =
                    message(json!({"messages": [{"role": "user", "content": [document]}]}));
                let upload = json!({"type": "container_upload", "file_id": id});
                let mounted = message(json!({"messages": [{"role": "user", "content": [upload]}]}));
                let late = json!({"max_tokens": 64, "messages": nested["messages"]});
                vec![
                    get("path", &format!("files/{id}")),
                    get("path of content", &format!("files/{id}/content")),
                    post("messages", "messages", &nested),
                    post("container_upload", "messages", &mounted),
                    post("count_tokens", "messages/count_tokens", &nested),
                    self.late("messages", "claude-sonnet-5", "system", &late),
                ]
            }
            (Kind::Container, Api::Anthropic) => vec![
                post("string", "messages", &message(json!({"container": id}))),
                post(
                    "object",
                    "messages",
                    &message(json!({"container": {"id": id, "skills": []}})),
                ),
                post(
                    "streamed",
                    "messages",
                    &message(json!({"container": id, "stream": true, "tools": [code_tool()]})),
                ),
            ],
            (Kind::File, _) => {
                let file = json!({"type": "input_file", "file_id": id});
                let input = json!([{"role": "user", "content": [file]}]);
                let auto = json!([{"type": "code_interpreter", "container": {"type": "auto", "file_ids": [id]}}]);
                let mut uses = vec![
                    get("path", &format!("files/{id}")),
                    get("path of content", &format!("files/{id}/content")),
                    respond("input", json!({"input": input})),
                    respond("file_ids of a tool", json!({"input": "Count", "tools": auto})),
                    late(json!({"input": input})),
                ];
                if self.api != Api::AzureDated {
                    let chat = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": [
                        {"type": "file", "file": {"file_id": id}}]}]});
                    uses.push(post("chat", "chat/completions", &chat));
                    let container = json!({"name": "loom", "file_ids": [id]});
                    uses.push(post("file_ids of a container", "containers", &container));
                }
                if let Some(own) = own {
                    let tail = format!("containers/{own}/files");
                    uses.push(post("file of a container", &tail, &json!({"file_id": id})));
                    let form = self.form(&tail, &[("file_id", id)], None);
                    uses.push(Use { place: "form", ask: form });
                    let padding = vec![b'w'; BEYOND_THE_PEEK];
                    let first = self.form(&tail, &[], Some(("padding", &padding)));
                    let then = self.form(&tail, &[("file_id", id)], None);
                    // One form out of two: without the end of the first.
                    let mut body = first.body[..first.body.len() - BOUNDARY.len() - 6].to_vec();
                    body.extend_from_slice(&then.body);
                    let late = Ask { body: body.into(), ..then };
                    uses.push(Use { place: "form beyond the peek", ask: late });
                }
                uses
            }
            (Kind::Upload, _) => {
                let tail = format!("uploads/{id}/parts");
                vec![Use {
                    place: "path of parts",
                    ask: self.form(&tail, &[], Some(("data", b"warp"))),
                }]
            }
            (Kind::Response, _) => {
                let input = json!([{"role": "user", "content": "More"}]);
                let mut uses = vec![
                    get("path", &format!("responses/{id}")),
                    get("path of items", &format!("responses/{id}/input_items")),
                    respond("previous", json!({"previous_response_id": id, "input": input})),
                    respond(
                        "streamed",
                        json!({"input": input, "stream": true, "previous_response_id": id}),
                    ),
                    late(json!({"previous_response_id": id, "input": "x"})),
                ];
                if self.api != Api::AzureDated {
                    let count =
                        json!({"model": "gpt-4o", "previous_response_id": id, "input": "x"});
                    uses.push(post("input_tokens", "responses/input_tokens", &count));
                }
                uses
            }
            (Kind::Conversation, _) => {
                let items =
                    json!({"items": [{"type": "message", "role": "user", "content": "One"}]});
                vec![
                    get("path", &format!("conversations/{id}")),
                    get("path of items", &format!("conversations/{id}/items")),
                    post(
                        "path of an update",
                        &format!("conversations/{id}"),
                        &json!({"metadata": {"a": "b"}}),
                    ),
                    post("path of new items", &format!("conversations/{id}/items"), &items),
                    respond("string", json!({"conversation": id, "input": "x"})),
                    respond("object", json!({"conversation": {"id": id}, "input": "x"})),
                    late(json!({"input": "x", "conversation": id})),
                ]
            }
            (Kind::Container, _) => {
                let tool = json!([{"type": "code_interpreter", "container": id}]);
                let call = json!([{"type": "code_interpreter_call", "id": "ci_0", "code": "1",
                    "container_id": id, "outputs": null, "status": "completed"},
                    {"role": "user", "content": "More"}]);
                let tail = format!("containers/{id}/files");
                let file = self.form(&tail, &[], Some(("file", b"own")));
                vec![
                    get("path", &format!("containers/{id}")),
                    get("path of files", &tail),
                    Use { place: "path of a new file", ask: file },
                    respond("tool", json!({"input": "Count", "tools": tool})),
                    respond("item", json!({"input": call})),
                    late(json!({"input": "x", "tools": tool})),
                ]
            }
            (Kind::Item, _) => {
                let reference = json!([{"type": "item_reference", "id": id}]);
                // Content of another type does not make it anybody's own.
                let sealed =
                    json!([{"type": "item_reference", "id": id, "encrypted_content": "gAAAAAB0"}]);
                vec![
                    respond("sealed reference", json!({"input": sealed})),
                    respond("item_reference", json!({"input": reference})),
                    respond("bare", json!({"input": [{"id": id}]})),
                    late(json!({"input": reference})),
                ]
            }
        }
    }

    /// A body that names its model first, and `rest` only behind more than the gate reads ahead.
    fn late(&self, tail: &str, model: &str, filled: &str, rest: &Value) -> Use {
        let (rest, filler) = (rest.to_string(), "warp and weft, ".repeat(BEYOND_THE_PEEK / 15));
        let text = format!(r#"{{"model":"{model}","{filled}":"{filler}",{}"#, &rest[1..]);
        let ask = self.ask(Method::POST, tail, Some(&json!({})));
        Use { place: "beyond the peek", ask: Ask { body: text.into(), ..ask } }
    }

    /// What makes an end of it.
    pub(super) fn ends(&self, kind: Kind, id: &str) -> Option<Ask> {
        let delete = |tail: String| Some(self.ask(Method::DELETE, &tail, None));
        match (kind, self.api) {
            (Kind::File, _) => delete(format!("files/{id}")),
            (Kind::Response, _) => delete(format!("responses/{id}")),
            (Kind::Conversation, _) => delete(format!("conversations/{id}")),
            (Kind::Container, Api::OpenAi | Api::AzureV1) => delete(format!("containers/{id}")),
            (Kind::Container | Kind::Item | Kind::Upload, _) => None,
        }
    }
}

/// An id of the same shape that no provider has given out.
pub(super) fn unknown_like(id: &str) -> String {
    let keep = id.len() - 6;
    format!("{}{}", &id[..keep], if id.ends_with("a5a5a5") { "5a5a5a" } else { "a5a5a5" })
}

/// A message of Anthropic's with `more` laid over it.
fn message(more: Value) -> Value {
    let mut body = json!({"max_tokens": 64, "messages": [{"role": "user", "content": "Count."}]});
    lay_over(&mut body, more);
    body["model"] = json!("claude-sonnet-5");
    body
}

fn with_model(mut body: Value) -> Value {
    body["model"] = json!("gpt-4o");
    body
}

fn lay_over(body: &mut Value, more: Value) {
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
}

fn code_tool() -> Value {
    json!({"type": "code_execution_20250825", "name": "code_execution"})
}

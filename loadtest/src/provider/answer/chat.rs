//! Chat completions: OpenAI's, Azure's with its filter annotations, DeepSeek's with its usage in
//! the last chunk that has a choice.

use super::{Answer, CREATED_SECS, Piece, Turn, cost, data, padding, quoted};
use crate::provider::control::Finish;
use std::iter::once;
use weft_proto::provider::Provider;

const FILTERED: &str = concat!(
    r#"{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},"#,
    r#""sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}"#
);

/// The whole answer as one document.
pub(crate) fn whole(turn: &Turn) -> Answer {
    let (id, model, text) = (id(turn), turn.quoted_model(), quoted(&turn.text.whole()));
    let usage =
        if turn.no_usage { String::new() } else { format!(r#","usage":{}"#, cost::chat(turn)) };
    let (in_choice, at_top) = match turn.provider {
        Provider::Azure => (
            format!(r#","content_filter_results":{FILTERED}"#),
            format!(
                r#","prompt_filter_results":[{{"prompt_index":0,"content_filter_results":{FILTERED}}}]"#
            ),
        ),
        Provider::OpenAi | Provider::DeepSeek | Provider::Anthropic => Default::default(),
    };
    let (fingerprint, finish, tier) = (fingerprint(turn), finish(turn), tier(turn));
    Answer::json(
        200,
        format!(
            r#"{{"id":"{id}","object":"chat.completion","created":{CREATED_SECS},"model":{model},"choices":[{{"index":0,"message":{{"role":"assistant","content":{text},"refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"{finish}"{in_choice}}}]{at_top},"service_tier":{tier},"system_fingerprint":"{fingerprint}"{usage}}}"#
        ),
    )
    .billed(turn)
}

/// The answer as a stream of chunks, closed by `[DONE]`.
pub(crate) fn streamed(turn: &Turn) -> Answer {
    let deepseek = turn.provider == Provider::DeepSeek;
    let azure = turn.provider == Provider::Azure;
    let with_usage = !turn.no_usage && (turn.include_usage || deepseek);
    let chunks = Chunks {
        prefix: format!(
            r#"{{"id":"{}","object":"chat.completion.chunk","created":{CREATED_SECS},"model":{},"service_tier":{},"system_fingerprint":"{}","choices":["#,
            id(turn),
            turn.quoted_model(),
            tier(turn),
            fingerprint(turn)
        ),
        in_choice: if azure {
            format!(r#","content_filter_results":{FILTERED}"#)
        } else {
            String::new()
        },
        no_usage_yet: if with_usage { r#","usage":null"# } else { "" },
        obfuscated: turn.provider == Provider::OpenAi,
    };
    let filter = azure.then(|| {
        Piece::now(data(&format!(
            r#"{{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{{"prompt_index":0,"content_filter_results":{FILTERED}}}]}}"#
        )))
    });
    let role =
        Piece::now(chunks.choice(0, r#"{"role":"assistant","content":"","refusal":null}"#, "null"));
    let usage = with_usage.then(|| cost::chat(turn));
    let last = if deepseek {
        let tail = usage.as_ref().map_or(String::new(), |usage| format!(r#","usage":{usage}"#));
        let choice = format!(
            r#"{{"index":0,"delta":{{"content":""}},"logprobs":null,"finish_reason":"{}"}}"#,
            finish(turn)
        );
        Piece::now(data(&format!("{}{choice}]{tail}}}", chunks.prefix)))
    } else {
        Piece::now(chunks.choice(1, "{}", &format!(r#""{}""#, finish(turn))))
    };
    // Counted after all of it was written: a client may be gone by then.
    let extra = usage
        .filter(|_| !deepseek)
        .map(|usage| Piece::paced(data(&format!(r#"{}],"usage":{usage}}}"#, chunks.prefix))));
    // What a filter that runs beside the model says comes after the text, and names nothing.
    let annotation = (azure && turn.shape.async_filter).then(|| {
        Piece::now(data(&format!(
            r#"{{"id":"","object":"","created":0,"model":"","choices":[{{"index":0,"finish_reason":null,"content_filter_results":{FILTERED},"content_filter_offsets":{{"check_offset":44,"start_offset":44,"end_offset":198}}}}]}}"#
        )))
    });
    let moderation = turn.shape.usage_not_last.then(|| {
        let note = r#"],"moderation":{"flagged":false,"usage":{"prompt_tokens":1,"completion_tokens":1}}}"#;
        Piece::now(data(&format!("{}{note}", chunks.prefix)))
    });
    let deltas = turn.text.pieces().enumerate().map(move |(index, text)| {
        Piece::paced(chunks.choice(index, &format!(r#"{{"content":{}}}"#, quoted(&text)), "null"))
    });
    Answer::events(
        filter
            .into_iter()
            .chain(once(role))
            .chain(deltas)
            .chain(once(last))
            .chain(annotation)
            .chain(extra)
            .chain(moderation)
            .chain(once(Piece::now("data: [DONE]\n\n"))),
    )
    .billed(turn)
}

struct Chunks {
    prefix: String,
    in_choice: String,
    no_usage_yet: &'static str,
    obfuscated: bool,
}

impl Chunks {
    fn choice(&self, index: usize, delta: &str, finish: &str) -> String {
        let Self { prefix, in_choice, no_usage_yet, obfuscated } = self;
        let tail = if *obfuscated {
            format!(r#","obfuscation":"{}""#, padding(index))
        } else {
            String::new()
        };
        data(&format!(
            r#"{prefix}{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}{in_choice}}}]{no_usage_yet}{tail}}}"#
        ))
    }
}

fn finish(turn: &Turn) -> &'static str {
    match turn.shape.finish {
        Finish::Stop | Finish::Failed => "stop",
        Finish::Length => "length",
        Finish::ContentFilter => "content_filter",
    }
}

/// The service tier, as JSON.
fn tier(turn: &Turn) -> String {
    quoted(turn.shape.tier.as_deref().unwrap_or("default"))
}

fn id(turn: &Turn) -> String {
    match turn.provider {
        Provider::DeepSeek => format!("33be18fc-3842-486c-8c29-{:012x}", turn.text.seed >> 16),
        Provider::OpenAi | Provider::Azure | Provider::Anthropic => {
            format!("chatcmpl-{}", turn.id())
        }
    }
}

fn fingerprint(turn: &Turn) -> &'static str {
    match turn.provider {
        Provider::DeepSeek => "fp_393bca965e_prod0623_fp8_kvcache",
        Provider::OpenAi | Provider::Azure | Provider::Anthropic => "fp_51a7ed0001",
    }
}

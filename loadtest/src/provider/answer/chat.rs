//! Chat completions: OpenAI's, Azure's with its filter annotations, DeepSeek's with its usage in
//! the last chunk that has a choice.

use super::{Answer, CREATED_SECS, Piece, Turn, data, padding, quoted};
use std::iter::once;
use weft_proto::provider::Provider;

const FILTERED: &str = concat!(
    r#"{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},"#,
    r#""sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}"#
);

/// The whole answer as one document.
pub(crate) fn whole(turn: &Turn) -> Answer {
    let (id, model, text) = (id(turn), turn.quoted_model(), quoted(&turn.text.whole()));
    let usage = if turn.no_usage { String::new() } else { format!(r#","usage":{}"#, usage(turn)) };
    let (in_choice, at_top) = match turn.provider {
        Provider::Azure => (
            format!(r#","content_filter_results":{FILTERED}"#),
            format!(
                r#","prompt_filter_results":[{{"prompt_index":0,"content_filter_results":{FILTERED}}}]"#
            ),
        ),
        Provider::OpenAi | Provider::DeepSeek | Provider::Anthropic => Default::default(),
    };
    let fingerprint = fingerprint(turn);
    Answer::json(
        200,
        format!(
            r#"{{"id":"{id}","object":"chat.completion","created":{CREATED_SECS},"model":{model},"choices":[{{"index":0,"message":{{"role":"assistant","content":{text},"refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"{in_choice}}}]{at_top},"service_tier":"default","system_fingerprint":"{fingerprint}"{usage}}}"#
        ),
    )
}

/// The answer as a stream of chunks, closed by `[DONE]`.
pub(crate) fn streamed(turn: &Turn) -> Answer {
    let deepseek = turn.provider == Provider::DeepSeek;
    let azure = turn.provider == Provider::Azure;
    let with_usage = !turn.no_usage && (turn.include_usage || deepseek);
    let chunks = Chunks {
        prefix: format!(
            r#"{{"id":"{}","object":"chat.completion.chunk","created":{CREATED_SECS},"model":{},"service_tier":"default","system_fingerprint":"{}","choices":["#,
            id(turn),
            turn.quoted_model(),
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
    let usage = with_usage.then(|| usage(turn));
    let last = if deepseek {
        let tail = usage.as_ref().map_or(String::new(), |usage| format!(r#","usage":{usage}"#));
        let choice = r#"{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"stop"}"#;
        Piece::now(data(&format!("{}{choice}]{tail}}}", chunks.prefix)))
    } else {
        Piece::now(chunks.choice(1, "{}", r#""stop""#))
    };
    let extra = usage
        .filter(|_| !deepseek)
        .map(|usage| Piece::now(data(&format!(r#"{}],"usage":{usage}}}"#, chunks.prefix))));
    let deltas = turn.text.pieces().enumerate().map(move |(index, text)| {
        Piece::paced(chunks.choice(index, &format!(r#"{{"content":{}}}"#, quoted(&text)), "null"))
    });
    Answer::events(
        filter
            .into_iter()
            .chain(once(role))
            .chain(deltas)
            .chain(once(last))
            .chain(extra)
            .chain(once(Piece::now("data: [DONE]\n\n"))),
    )
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

fn usage(turn: &Turn) -> String {
    let (prompt, completion) = (turn.prompt_tokens, turn.completion_tokens());
    let (total, cached) = (prompt + completion, turn.cached_tokens());
    let details = match turn.provider {
        Provider::DeepSeek => format!(
            r#""prompt_tokens_details":{{"cached_tokens":{cached}}},"completion_tokens_details":{{"reasoning_tokens":0}},"prompt_cache_hit_tokens":{cached},"prompt_cache_miss_tokens":{}"#,
            prompt - cached
        ),
        Provider::OpenAi | Provider::Azure | Provider::Anthropic => format!(
            r#""prompt_tokens_details":{{"cached_tokens":{cached},"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#
        ),
    };
    format!(
        r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total},{details}}}"#
    )
}

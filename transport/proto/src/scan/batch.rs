//! The gate's questions of a batch: which models its requests ask for, and which stored objects they
//! name.
//!
//! Each request in it is read like the body of a request of its own. What holds them is a closed
//! shape ([`nest`](super::nest)). Nothing is kept but the names of models, the ids of objects until
//! they are taken, and the request under inspection as far as [`ModelScan`](super::ModelScan) keeps
//! one.

use std::collections::BTreeSet;
use std::fmt;

use super::json::{Token, Tokenizer};
use super::model::Reader;
use super::nest::{Holder, Nest, Nested};
use super::{REFERENCES_MAX, ScanError};
use crate::objects::Reference;
use crate::provider::Dialect;

/// The most models that the requests of one batch may ask for.
pub const BATCH_MODELS_MAX: usize = 16;

/// Reads the requests of a batch, in any split of its bytes.
pub struct BatchScan {
    tokenizer: Tokenizer,
    reading: Reading,
    /// It is a file of lines, each of which is one request.
    lines: bool,
    failed: Option<ScanError>,
}

/// Apart from the tokenizer, so that both can be borrowed at once.
struct Reading {
    dialect: Dialect,
    nest: Nest,
    /// The reader of the current request.
    reader: Option<Reader>,
    requests: u64,
    models: BTreeSet<String>,
    references: Vec<Reference>,
    /// Objects that were named in all.
    named: usize,
    /// Something of the current line has come.
    begun: bool,
}

impl fmt::Debug for BatchScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchScan")
            .field("requests", &self.reading.requests)
            .field("models", &self.reading.models)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl BatchScan {
    /// A scan at the start of an object that holds requests in `dialect`.
    #[must_use]
    pub fn of_requests(dialect: Dialect) -> Self {
        Self::new(dialect, Nest::new(Holder::Requests), false)
    }

    /// A scan at the start of a file each line of which is a request to `url`, in `dialect`.
    #[must_use]
    pub fn of_lines_to(dialect: Dialect, url: &str) -> Self {
        Self::new(dialect, Nest::of_lines_to(url), true)
    }

    fn new(dialect: Dialect, nest: Nest, lines: bool) -> Self {
        let reading = Reading {
            dialect,
            nest,
            reader: None,
            requests: 0,
            models: BTreeSet::new(),
            references: Vec::new(),
            named: 0,
            begun: false,
        };
        Self { tokenizer: Tokenizer::new(), reading, lines, failed: None }
    }

    /// Reads the next bytes of the body.
    ///
    /// # Errors
    /// [`ScanError`] as soon as the body cannot be accepted any more, and the same one ever after.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let fed = if self.lines { self.feed_lines(bytes) } else { self.feed_value(bytes) };
        fed.inspect_err(|error| self.failed = Some(*error))
    }

    fn feed_value(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        let reading = &mut self.reading;
        self.tokenizer.feed(bytes, |depth, token| reading.token(depth, token))
    }

    fn feed_lines(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.reading.begun |= !piece.trim_ascii().is_empty();
            self.feed_value(piece)?;
            if piece.ends_with(b"\n") {
                self.end_line()?;
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), ScanError> {
        if std::mem::take(&mut self.reading.begun) {
            self.end_value()?;
        }
        self.tokenizer.reset();
        self.reading.nest.next_line();
        Ok(())
    }

    fn end_value(&mut self) -> Result<(), ScanError> {
        let reading = &mut self.reading;
        self.tokenizer.finish(|depth, token| reading.token(depth, token))
    }

    /// The requests that have been read whole.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.reading.requests
    }

    /// The models that they ask for.
    #[must_use]
    pub const fn models(&self) -> &BTreeSet<String> {
        &self.reading.models
    }

    /// The objects that the bytes read since the last call have named, in their order.
    #[must_use]
    pub fn take_references(&mut self) -> Vec<Reference> {
        std::mem::take(&mut self.reading.references)
    }

    /// Ends the body.
    ///
    /// # Errors
    /// [`ScanError`] of an earlier [`BatchScan::feed`], or that the body is incomplete.
    pub fn finish(&mut self) -> Result<(), ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let ended = if self.lines { self.end_line() } else { self.end_value() };
        ended.inspect_err(|error| self.failed = Some(*error))
    }
}

impl Reading {
    fn token(&mut self, depth: usize, token: Token<'_>) -> Result<(), ScanError> {
        let (own, last) = match self.nest.step(depth, token)? {
            Nested::Around => return Ok(()),
            Nested::Inside(own) => (own, false),
            Nested::Last => (0, true),
        };
        let dialect = self.dialect;
        let reader = self.reader.get_or_insert_with(|| Reader::new(dialect));
        reader.token(own, token)?;
        let named = reader.take_references();
        self.named += named.len();
        if self.named > REFERENCES_MAX {
            return Err(ScanError::TooManyReferences);
        }
        self.references.extend(named);
        if !last {
            return Ok(());
        }
        self.requests += 1;
        let model = reader.model().filter(|model| !model.is_empty());
        let model = model.ok_or(ScanError::NoModel)?;
        if !self.models.contains(model) {
            if self.models.len() == BATCH_MODELS_MAX {
                return Err(ScanError::TooManyModels);
            }
            self.models.insert(model.to_owned());
        }
        self.reader = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(body: &str, step: usize) -> (Result<(), ScanError>, BatchScan) {
        let mut scan = BatchScan::of_requests(Dialect::Anthropic);
        let fed = body.as_bytes().chunks(step).try_for_each(|piece| scan.feed(piece));
        let ended = fed.and_then(|()| scan.finish());
        (ended, scan)
    }

    #[test]
    fn every_request_is_read_like_a_body_of_its_own_however_it_is_split() {
        let body = r#"{"requests":[
            {"custom_id":"a","params":{"model":"m-1","messages":[{"content":[
                {"type":"document","source":{"type":"file","file_id":"file_1"}}]}]}},
            {"params":{"max_tokens":1,"model":"m-2","metadata":{"model":"no"}},"custom_id":"b"},
            {"custom_id":"c","params":{"model":"m-1","container":"cont_2"}}]}"#;
        for step in [1, 2, 7, body.len()] {
            let (ended, mut scan) = scanned(body, step);
            assert_eq!(ended, Ok(()), "{step}");
            assert_eq!(scan.requests(), 3);
            let models: Vec<_> = scan.models().iter().map(String::as_str).collect();
            assert_eq!(models, ["m-1", "m-2"]);
            let named = scan.take_references();
            let ids: Vec<_> = named.iter().map(|named| named.id.as_str()).collect();
            assert_eq!(ids, ["file_1", "cont_2"]);
        }
    }

    #[test]
    fn what_somebody_could_read_as_another_batch_is_refused() {
        let one = r#"{"custom_id":"a","params":{"model":"m"}}"#;
        for (body, wanted) in [
            ("{}".to_owned(), ScanError::NotABatch),
            ("[]".to_owned(), ScanError::NotAnObject),
            (format!(r#"{{"requests":[{one}],"requests":[]}}"#), ScanError::NotABatch),
            (format!(r#"{{"Requests":[{one}]}}"#), ScanError::NotABatch),
            (format!(r#"{{"requests":[{one}],"file_id":"f"}}"#), ScanError::NotABatch),
            (r#"{"requests":{"params":{"model":"m"}}}"#.to_owned(), ScanError::NotABatch),
            (r#"{"requests":[["params"]]}"#.to_owned(), ScanError::NotABatch),
            (r#"{"requests":[{"custom_id":"a"}]}"#.to_owned(), ScanError::NotABatch),
            (
                r#"{"requests":[{"params":{"model":"m"},"params":{}}]}"#.to_owned(),
                ScanError::NotABatch,
            ),
            (r#"{"requests":[{"params":"x"}]}"#.to_owned(), ScanError::NotABatch),
            (r#"{"requests":[{"requests":{"model":"m"}}]}"#.to_owned(), ScanError::NotABatch),
            (r#"{"requests":[{"params":{"max_tokens":1}}]}"#.to_owned(), ScanError::NoModel),
            (
                r#"{"requests":[{"params":{"model":"m","model":"n"}}]}"#.to_owned(),
                ScanError::DuplicateModel,
            ),
            (
                r#"{"requests":[{"params":{"model":"m","background":true}}]}"#.to_owned(),
                ScanError::BilledLater,
            ),
        ] {
            let (ended, _) = scanned(&body, 3);
            assert_eq!(ended, Err(wanted), "{body}");
        }
        assert!(matches!(scanned(r#"{"requests":["#, 4).0, Err(ScanError::Json(_))));
    }

    fn of_lines(body: &str, step: usize) -> (Result<(), ScanError>, BatchScan) {
        let mut scan = BatchScan::of_lines_to(Dialect::OpenAi, "/v1/responses");
        let fed = body.as_bytes().chunks(step).try_for_each(|piece| scan.feed(piece));
        let ended = fed.and_then(|()| scan.finish());
        (ended, scan)
    }

    #[test]
    fn every_line_of_a_file_is_a_request_to_one_place() {
        let line = |url: &str, body: &str| {
            format!(r#"{{"custom_id":"a","method":"POST","url":"{url}","body":{body}}}"#)
        };
        let good = line("/v1/responses", r#"{"model":"m","previous_response_id":"resp_1"}"#);
        let other = line("/v1/responses", r#"{"input":"\n","model":"n"}"#);
        let file = format!("{good}\r\n\n{other}\n{good}");
        for step in [1, 2, 5, file.len()] {
            let (ended, mut scan) = of_lines(&file, step);
            assert_eq!(ended, Ok(()), "{step}");
            assert_eq!((scan.requests(), scan.models().len()), (3, 2));
            assert_eq!(scan.take_references().len(), 2);
        }
        for (bad, wanted) in [
            (line("/v1/files", r#"{"model":"m"}"#), ScanError::NotABatch),
            (good.replace("POST", "GET"), ScanError::NotABatch),
            (good.replace(r#""method":"POST","#, ""), ScanError::NotABatch),
            (good.replace(r#""url":"#, r#""url":"/v1/responses","url":"#), ScanError::NotABatch),
            (good.replace("custom_id", "file_id"), ScanError::NotABatch),
            ("[]".to_owned(), ScanError::NotAnObject),
            (line("/v1/responses", "{}"), ScanError::NoModel),
            (line("/v1/responses", r#"{"model":"m","background":true}"#), ScanError::BilledLater),
        ] {
            assert_eq!(of_lines(&format!("{good}\n{bad}\n"), 7).0, Err(wanted), "{bad}");
        }
        let two = format!("{good}{other}\n");
        assert!(matches!(of_lines(&two, 7).0, Err(ScanError::Json(_))), "two values on a line");
        let open = &good[..good.len() - 1];
        assert!(matches!(of_lines(&format!("{open}\n{good}\n"), 7).0, Err(ScanError::Json(_))));
    }

    #[test]
    fn a_batch_of_too_many_models_or_objects_is_refused() {
        let of = |count: usize, request: &dyn Fn(usize) -> String| {
            let all: Vec<_> =
                (0..count).map(|n| format!(r#"{{"params":{}}}"#, request(n))).collect();
            scanned(&format!(r#"{{"requests":[{}]}}"#, all.join(",")), 100).0
        };
        let models = |n: usize| format!(r#"{{"model":"m-{n}"}}"#);
        assert_eq!(of(BATCH_MODELS_MAX, &models), Ok(()));
        assert_eq!(of(BATCH_MODELS_MAX + 1, &models), Err(ScanError::TooManyModels));
        let files = |n: usize| format!(r#"{{"model":"m","container":"cont_{n}"}}"#);
        assert_eq!(of(REFERENCES_MAX, &files), Ok(()));
        assert_eq!(of(REFERENCES_MAX + 1, &files), Err(ScanError::TooManyReferences));
    }
}

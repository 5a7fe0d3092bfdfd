//! What a provider took of a request that it answered before it had all of it.
//!
//! Where such an answer tells no usage, its input is counted from the request, and only the agent
//! knows how much of that went out: the hub may have sent on more. The agent says so in a trailer of
//! its answer, which ends at the hub. It can only make less of what the hub has counted itself.

use http::{HeaderName, HeaderValue};

use super::Asked;

/// The trailer.
pub const TAKEN: HeaderName = HeaderName::from_static("weft-taken");

/// How far the provider had read a request when its answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    input: u64,
    characters: u64,
    bytes: u64,
}

impl Taken {
    /// What has been asked by the bytes that went out.
    #[must_use]
    pub const fn of(asked: &Asked) -> Self {
        let Asked { input_estimate, characters, body_bytes, .. } = asked;
        Self { input: *input_estimate, characters: *characters, bytes: *body_bytes }
    }

    /// The trailer's value: three numbers (tokens of input, characters to be spoken, bytes).
    #[must_use]
    pub fn encode(&self) -> HeaderValue {
        let Self { input, characters, bytes } = self;
        let text = format!("{input} {characters} {bytes}");
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("0 0 0"))
    }

    /// Reads the trailer's value; `None` for anything else.
    #[must_use]
    pub fn decode(value: &HeaderValue) -> Option<Self> {
        let mut numbers = value.to_str().ok()?.split(' ');
        let mut number = || numbers.next()?.parse().ok();
        let taken = Self { input: number()?, characters: number()?, bytes: number()? };
        numbers.next().is_none().then_some(taken)
    }

    /// Leaves of what was asked what was taken.
    pub fn bounds(&self, asked: &mut Asked) {
        asked.input_estimate = asked.input_estimate.min(self.input);
        asked.characters = asked.characters.min(self.characters);
        asked.body_bytes = asked.body_bytes.min(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_comes_back_and_only_makes_less() {
        let sent = Asked { input_estimate: 7, characters: 0, body_bytes: 90, ..Asked::default() };
        let taken = Taken::of(&sent);
        assert_eq!(taken.encode(), "7 0 90");
        assert_eq!(Taken::decode(&taken.encode()), Some(taken));
        let mut asked = Asked { input_estimate: 70, body_bytes: 80, ..sent.clone() };
        taken.bounds(&mut asked);
        assert_eq!((asked.input_estimate, asked.body_bytes), (7, 80));
        for wrong in ["", "7", "7 0", "7 0 90 1", "7 0 -90", "a b c", "7  0 90"] {
            let wrong = HeaderValue::from_static(wrong);
            assert_eq!(Taken::decode(&wrong), None, "{wrong:?}");
        }
    }
}

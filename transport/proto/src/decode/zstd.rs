//! Zstandard (RFC 8878), any number of frames.

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::{DecodeError, Progress, ZSTD_WINDOW_LOG_MAX};

pub(super) struct Zstd {
    frames: Decoder<'static>,
}

impl Zstd {
    pub(super) fn new() -> Result<Self, DecodeError> {
        // Neither can fail with these arguments; where it does, there is no decoder.
        let mut frames = Decoder::new().map_err(|_| DecodeError::UnknownCoding)?;
        let limit = DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX);
        frames.set_parameter(limit).map_err(|_| DecodeError::UnknownCoding)?;
        Ok(Self { frames })
    }

    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Progress {
        let mut input = InBuffer::around(input);
        let mut out = OutBuffer::around(out);
        let malformed = self.frames.run(&mut input, &mut out).is_err();
        Progress { taken: input.pos(), made: out.pos(), malformed }
    }
}

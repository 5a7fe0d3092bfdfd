//! Reads columns into types, and writes types into columns: the one place where both meet.

use super::{Engine, Row};
use crate::{StoreError, Subject};
use sqlx::{Decode, Row as _, Type};
use std::fmt::Display;
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::time::Timestamp;

/// A column as the database gives it.
pub(super) fn raw<'r, T>(row: &'r Row, column: &str) -> Result<T, StoreError>
where
    T: Decode<'r, Engine> + Type<Engine>,
{
    row.try_get(column).map_err(|error| StoreError::corrupt(column, error))
}

/// A column of text or bytes, parsed.
pub(super) fn parsed<'r, R, T, E>(
    row: &'r Row,
    column: &str,
    parse: impl FnOnce(R) -> Result<T, E>,
) -> Result<T, StoreError>
where
    R: Decode<'r, Engine> + Type<Engine>,
    E: Display,
{
    parse(raw(row, column)?).map_err(|error| StoreError::corrupt(column, error))
}

/// A column that may be NULL, parsed where it is not.
pub(super) fn parsed_option<'r, R, T, E>(
    row: &'r Row,
    column: &str,
    parse: impl FnOnce(R) -> Result<T, E>,
) -> Result<Option<T>, StoreError>
where
    R: Decode<'r, Engine> + Type<Engine>,
    E: Display,
{
    let value: Option<R> = raw(row, column)?;
    value.map(parse).transpose().map_err(|error| StoreError::corrupt(column, error))
}

/// A column with the 32 bytes of a hash.
pub(super) fn digest<T: From<[u8; 32]>>(row: &Row, column: &str) -> Result<T, StoreError> {
    parsed(row, column, |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map(T::from))
}

/// A column with a moment.
pub(super) fn timestamp(row: &Row, column: &str) -> Result<Timestamp, StoreError> {
    parsed(row, column, |micros: i64| u64::try_from(micros).map(Timestamp::from_micros))
}

/// A column with a moment or NULL.
pub(super) fn timestamp_option(row: &Row, column: &str) -> Result<Option<Timestamp>, StoreError> {
    parsed_option(row, column, |micros: i64| u64::try_from(micros).map(Timestamp::from_micros))
}

/// A moment as it is stored.
pub(super) fn micros(column: &str, at: Timestamp) -> Result<i64, StoreError> {
    number(column, at.as_micros())
}

/// A number as it is stored: the databases' integers have a sign.
pub(super) fn number(column: &str, value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|error| StoreError::corrupt(column, error))
}

/// A number or NULL as it is stored.
pub(super) fn number_option(column: &str, value: Option<u64>) -> Result<Option<i64>, StoreError> {
    value.map(|value| number(column, value)).transpose()
}

/// A column with parts per million.
pub(super) fn ratio(row: &Row, column: &str) -> Result<Ratio, StoreError> {
    parsed(row, column, |ppm: i64| u32::try_from(ppm).map(Ratio::from_ppm))
}

/// A column with nano-USD or NULL.
pub(super) fn amount_option(row: &Row, column: &str) -> Result<Option<NanoUsd>, StoreError> {
    let nanos: Option<i64> = raw(row, column)?;
    Ok(nanos.map(NanoUsd::new))
}

/// A column with the 16 bytes of a subject.
pub(super) fn subject(row: &Row, column: &str) -> Result<Subject, StoreError> {
    parsed(row, column, |bytes: &[u8]| <[u8; 16]>::try_from(bytes).map(Subject::from_bytes))
}

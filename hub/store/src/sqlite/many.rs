//! Statements over many rows: their texts are made once, and used again and again.

use super::{Connection, Done, Engine, Row, fault, was_new};
use crate::StoreError;
use sqlx::query::Query;
use sqlx::{Arguments as _, AssertSqlSafe, Database, Encode, Executor, Type};
use std::sync::{Arc, OnceLock};

/// What many rows are inserted or read in: so many to a statement, so that few statements are
/// prepared.
pub(super) const ROWS: [usize; 4] = [64, 16, 4, 1];

/// A statement that repeats its places for each of many rows.
pub(super) struct Many {
    /// All of it before the rows.
    head: &'static str,
    /// The places of one row.
    row: Places,
    /// All of it behind the rows.
    tail: &'static str,
    texts: [OnceLock<Arc<str>>; ROWS.len()],
}

/// The places of one row.
#[derive(Clone, Copy)]
enum Places {
    /// One of a list.
    One,
    /// So many, in brackets.
    Columns(usize),
}

impl Places {
    const fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Columns(columns) => columns,
        }
    }

    fn text(self) -> String {
        match self {
            Self::One => "?".to_owned(),
            Self::Columns(columns) => format!("({})", vec!["?"; columns].join(", ")),
        }
    }
}

impl Many {
    /// Inserts rows of so many columns; `head` ends with `VALUES `.
    pub(super) const fn insert(head: &'static str, columns: usize) -> Self {
        Self::new(head, Places::Columns(columns), "")
    }

    /// Does something with rows of so many columns; `head` ends with `VALUES `.
    pub(super) const fn rows(head: &'static str, columns: usize, tail: &'static str) -> Self {
        Self::new(head, Places::Columns(columns), tail)
    }

    /// Looks up a list of values; `head` ends with `IN (`, and `tail` begins with `)`.
    pub(super) const fn list(head: &'static str, tail: &'static str) -> Self {
        Self::new(head, Places::One, tail)
    }

    const fn new(head: &'static str, row: Places, tail: &'static str) -> Self {
        Self { head, row, tail, texts: [const { OnceLock::new() }; ROWS.len()] }
    }

    /// Executes it for a run of [`runs`]: `bind` gives each row's values.
    pub(super) async fn execute<T>(
        &self,
        connection: &mut Connection,
        run: &[T],
        bind: impl FnMut(&mut Values, &T) -> Result<(), StoreError>,
    ) -> Result<Done, StoreError> {
        self.bound(run, bind)?.execute(connection).await.map_err(fault)
    }

    /// Inserts a run of [`runs`], and says whether all of it was new: one row that is there already
    /// keeps the others out, and leaves the transaction as it was.
    pub(super) async fn was_new<T>(
        &self,
        connection: &mut Connection,
        run: &[T],
        bind: impl FnMut(&mut Values, &T) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        was_new(self.bound(run, bind)?.execute(connection).await)
    }

    /// The rows that it finds for a run of [`runs`].
    pub(super) async fn fetch<'c, T>(
        &self,
        executor: impl Executor<'c, Database = Engine>,
        run: &[T],
        bind: impl FnMut(&mut Values, &T) -> Result<(), StoreError>,
    ) -> Result<Vec<Row>, StoreError> {
        self.bound(run, bind)?.fetch_all(executor).await.map_err(fault)
    }

    fn bound<T>(
        &self,
        run: &[T],
        mut bind: impl FnMut(&mut Values, &T) -> Result<(), StoreError>,
    ) -> Result<Query<'static, Engine, <Engine as Database>::Arguments>, StoreError> {
        let mut values = Values::of(run.len() * self.row.count());
        for row in run {
            bind(&mut values, row)?;
        }
        let text = match ROWS.iter().position(|length| *length == run.len()) {
            Some(place) => Arc::clone(self.texts[place].get_or_init(|| self.text(run.len()))),
            None => self.text(run.len()),
        };
        Ok(sqlx::query_with(AssertSqlSafe(text), values.bound()?))
    }

    fn text(&self, rows: usize) -> Arc<str> {
        let row = self.row.text();
        [self.head, &vec![&*row; rows].join(", "), self.tail].concat().into()
    }
}

/// The values of a statement, in the order of its places.
pub(super) struct Values {
    arguments: <Engine as Database>::Arguments,
    failed: Option<sqlx::error::BoxDynError>,
}

impl Values {
    fn of(places: usize) -> Self {
        let mut arguments = <Engine as Database>::Arguments::default();
        arguments.reserve(places, places * size_of::<u64>());
        Self { arguments, failed: None }
    }

    /// The next value.
    pub(super) fn push<'q, T>(&mut self, value: T) -> &mut Self
    where
        T: Encode<'q, Engine> + Type<Engine>,
    {
        if let Err(error) = self.arguments.add(value) {
            self.failed = Some(error);
        }
        self
    }

    fn bound(self) -> Result<<Engine as Database>::Arguments, StoreError> {
        match self.failed {
            None => Ok(self.arguments),
            Some(error) => Err(fault(sqlx::Error::Encode(error))),
        }
    }
}

/// Cuts `rows` into runs of the lengths of [`ROWS`], the longest first.
pub(super) fn runs<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    cut(rows, ROWS)
}

/// Cuts `rows` into runs of these lengths, the last of which is one.
pub(super) fn cut<T, const N: usize>(
    mut rows: &[T],
    lengths: [usize; N],
) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = lengths.into_iter().find(|length| *length <= rows.len())?;
        let (run, rest) = rows.split_at(length);
        rows = rest;
        Some(run)
    })
}

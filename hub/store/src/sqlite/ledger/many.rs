//! Statements over many rows: their texts are made once, and used again and again.

use super::{Connection, Done, Engine, fault};
use crate::StoreError;
use sqlx::{Arguments as _, AssertSqlSafe, Database, Encode, Type};
use std::sync::{Arc, OnceLock};

/// What many rows are inserted or read in: so many to a statement, so that few statements are
/// prepared.
pub(super) const ROWS: [usize; 4] = [64, 16, 4, 1];

/// The statement that inserts so many rows.
pub(super) struct Insert {
    /// All of it before the rows.
    head: &'static str,
    columns: usize,
    texts: [OnceLock<Arc<str>>; ROWS.len()],
}

impl Insert {
    pub(super) const fn new(head: &'static str, columns: usize) -> Self {
        Self { head, columns, texts: [const { OnceLock::new() }; ROWS.len()] }
    }

    /// Inserts a run of [`runs`](super::runs): `bind` gives each row's values.
    pub(super) async fn run<T>(
        &self,
        connection: &mut Connection,
        rows: &[T],
        mut bind: impl FnMut(&mut Values, &T) -> Result<(), StoreError>,
    ) -> Result<Done, StoreError> {
        let mut values = Values::of(rows.len() * self.columns);
        for row in rows {
            bind(&mut values, row)?;
        }
        let text = match ROWS.iter().position(|length| *length == rows.len()) {
            Some(place) => Arc::clone(self.texts[place].get_or_init(|| self.text(rows.len()))),
            None => self.text(rows.len()),
        };
        let query = sqlx::query_with(AssertSqlSafe(text), values.bound()?);
        query.execute(connection).await.map_err(fault)
    }

    fn text(&self, rows: usize) -> Arc<str> {
        let row = format!("({})", vec!["?"; self.columns].join(", "));
        let mut text = String::from(self.head);
        for number in 0..rows {
            text.push_str(if number == 0 { "" } else { ", " });
            text.push_str(&row);
        }
        text.into()
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
    pub(super) fn push<T>(&mut self, value: T) -> &mut Self
    where
        T: for<'q> Encode<'q, Engine> + Type<Engine>,
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

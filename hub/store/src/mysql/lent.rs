//! Connections on loan from a pool, and the reads that go through them.
//!
//! # Invariants
//! - A connection returns to its pool only by [`Lent::give_back`], which is called when the answer
//!   was read to its end. Dropped otherwise (a caller that went away, a timeout, a broken answer) it
//!   is closed, because nobody can tell what the server will say next on it.
//! - A read ends within [`READ_TIMEOUT`], and its rows are all there or none: pages have limits.

use super::READ_TIMEOUT;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use sqlx::mysql::{
    MySql, MySqlConnection, MySqlPool, MySqlQueryResult, MySqlRow, MySqlStatement, MySqlTypeInfo,
};
use sqlx::pool::PoolConnection;
use sqlx::{Describe, Either, Execute, Executor, SqlStr};
use std::ops::{Deref, DerefMut};

/// One connection on loan.
#[derive(Debug)]
pub(super) struct Lent {
    connection: PoolConnection<MySql>,
    whole: bool,
}

impl Lent {
    /// Borrows a connection of `pool`.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn of(pool: &MySqlPool) -> Result<Self, sqlx::Error> {
        Ok(Self { connection: pool.acquire().await?, whole: false })
    }

    /// Returns the connection: what was asked of it was answered to the end.
    pub(super) fn give_back(mut self) {
        self.whole = true;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.whole {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Lent {
    type Target = MySqlConnection;

    fn deref(&self) -> &MySqlConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut MySqlConnection {
        &mut self.connection
    }
}

/// The connections that read: what a statement is sent to outside of a transaction.
#[derive(Debug)]
pub(super) struct Readers(pub(super) MySqlPool);

impl Readers {
    /// Closes them.
    pub(super) async fn close(&self) {
        self.0.close().await;
    }
}

/// Sends one read on a connection of its own, and returns that when the answer is whole.
async fn read<T>(
    pool: MySqlPool,
    ask: impl AsyncFnOnce(&mut MySqlConnection) -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    let reading = async {
        let mut lent = Lent::of(&pool).await?;
        let answer = ask(&mut lent).await;
        if matches!(answer, Ok(_) | Err(sqlx::Error::Database(_))) {
            lent.give_back();
        }
        answer
    };
    tokio::time::timeout(READ_TIMEOUT, reading)
        .await
        .unwrap_or_else(|late| Err(sqlx::Error::Io(std::io::Error::from(late))))
}

impl<'c> Executor<'c> for &Readers {
    type Database = MySql;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<MySqlQueryResult, MySqlRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, MySql>,
    {
        let pool = self.0.clone();
        let read = async move {
            let answer: Result<Vec<_>, _> =
                read(pool, async |lent| lent.fetch_many(query).try_collect().await).await;
            stream::iter(match answer {
                Ok(rows) => rows.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        };
        read.flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<MySqlRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, MySql>,
    {
        let pool = self.0.clone();
        read(pool, async |lent| lent.fetch_optional(query).await).boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [MySqlTypeInfo],
    ) -> BoxFuture<'e, Result<MySqlStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        let pool = self.0.clone();
        read(pool, async |lent| lent.prepare_with(sql, parameters).await).boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<MySql>, sqlx::Error>>
    where
        'c: 'e,
    {
        let pool = self.0.clone();
        read(pool, async |lent| lent.describe(sql).await).boxed()
    }
}

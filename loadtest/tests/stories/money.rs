//! Money: two ledgers that agree to the nano-dollar, and balances that are spent to their end, and
//! never beyond it.

#[path = "money/backups.rs"]
mod backups;
#[path = "money/batches.rs"]
mod batches;
#[path = "money/books.rs"]
pub(crate) mod books;
#[path = "money/dialects.rs"]
mod dialects;
#[path = "money/keys.rs"]
mod keys;
#[path = "money/kills.rs"]
mod kills;
#[path = "money/later.rs"]
mod later;
#[path = "money/leaving.rs"]
mod leaving;
#[path = "money/prices.rs"]
mod prices;
#[path = "money/shapes.rs"]
mod shapes;
#[path = "money/space.rs"]
mod space;
#[path = "money/spending.rs"]
mod spending;

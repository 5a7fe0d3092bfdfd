//! The wire as both ends use it: frozen bytes, frozen numbers, round trips and hostile input.

mod arbitrary;
mod frozen;
mod golden;
mod hostile;
mod receipts;
mod round_trip;
mod samples;

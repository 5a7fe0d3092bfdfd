//! The agent over a real tunnel: a hub made of `weft-transport`, a provider made of raw TCP.

mod exchanges;
mod hostile;
mod lives;
mod prices;
mod record;
mod websocket;
mod world;

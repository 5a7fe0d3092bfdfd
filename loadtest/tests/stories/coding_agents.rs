//! Coding tools find the gateway that they expect.

//! The doctors of hub and agent find what is wrong.

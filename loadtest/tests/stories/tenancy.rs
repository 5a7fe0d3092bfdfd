//! Objects at the provider belong to the user who made them.

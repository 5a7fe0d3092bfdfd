//! Bodies that no provider should see.

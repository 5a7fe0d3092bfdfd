//! Realtime sessions cross the mesh as they are.

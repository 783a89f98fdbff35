//! Tests that use the library and the binary as a user would.

mod rendering;
mod rooms;

//! Tests of a room.

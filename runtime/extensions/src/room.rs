//! A room as a whole: whether events reach it, how its start ended, its alarm's runs.

use deno_core::OpState;
use deno_core::op2;

use crate::host::{RoomNumber, host};

/// What a room tells its host about itself: that it holds events back, has started, hibernates, or must be reset.
pub trait Room {
    /// The input gate: while it is `held`, no further event is delivered.
    fn room_hold(&self, room: RoomNumber, held: bool);
    /// Ends the room's life when the turn has ended, with `reason` as what its log and its callers read.
    fn room_reset(&self, room: RoomNumber, reason: &str);
    /// Whether the room may leave memory while its sockets stay open.
    fn room_hibernates(&self, room: RoomNumber, hibernates: bool);
    /// A start that was still going has ended: well if `failure` is empty, else it is what callers are told.
    fn room_started(&self, room: RoomNumber, failure: &str);
    /// The run of the alarm that was delivered as `token` has ended. One that did not succeed is run again.
    fn room_alarm_done(&self, room: RoomNumber, token: u32, succeeded: bool);
}

#[op2(fast)]
pub(crate) fn op_room_hold(state: &OpState, #[smi] room: u32, held: bool) {
    host(state).room_hold(room, held);
}

#[op2(fast)]
pub(crate) fn op_room_reset(state: &OpState, #[smi] room: u32, #[string] reason: &str) {
    host(state).room_reset(room, reason);
}

#[op2(fast)]
pub(crate) fn op_room_hibernates(state: &OpState, #[smi] room: u32, hibernates: bool) {
    host(state).room_hibernates(room, hibernates);
}

#[op2(fast)]
pub(crate) fn op_room_started(state: &OpState, #[smi] room: u32, #[string] failure: &str) {
    host(state).room_started(room, failure);
}

#[op2(fast)]
pub(crate) fn op_room_alarm_done(state: &OpState, #[smi] room: u32, #[smi] token: u32, succeeded: bool) {
    host(state).room_alarm_done(room, token, succeeded);
}

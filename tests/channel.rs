//! Channels: how they get to a server, and what becomes of calls when it goes.

mod support;

#[path = "raw/frame.rs"]
#[allow(dead_code, reason = "the tests of servers use more of it")]
mod frame;

#[path = "channel/common.rs"]
mod common;
#[path = "channel/frames.rs"]
mod frames;

#[path = "channel/again.rs"]
mod again;
#[path = "channel/lifetimes.rs"]
mod lifetimes;
#[path = "channel/options.rs"]
mod options;
#[path = "channel/reach.rs"]
mod reach;
#[path = "channel/states.rs"]
mod states;
#[path = "channel/under_way.rs"]
mod under_way;

//! Cases of calls that end otherwise than with a reply.

use std::time::Duration;

use turnstile::{CallOptions, Code};

use super::caller::Caller;
use super::expect::{self, Checked};
use super::messages;

pub(super) fn unimplemented_method(caller: &dyn Caller) -> Checked {
    expect::fails(caller.unimplemented_call(), Code::Unimplemented).map(drop)
}

pub(super) fn unimplemented_service(caller: &dyn Caller) -> Checked {
    expect::fails(caller.call_of_unimplemented_service(), Code::Unimplemented).map(drop)
}

pub(super) fn cancel_after_begin(caller: &dyn Caller) -> Checked {
    let upload = caller.streaming_input_call(CallOptions::new());
    upload.cancel();
    expect::fails(upload.finish(), Code::Cancelled).map(drop)
}

pub(super) fn cancel_after_first_response(caller: &dyn Caller) -> Checked {
    let (mut requests, mut replies) = caller.full_duplex_call(CallOptions::new());
    let [(request, size), ..] = messages::ping_pong();
    requests.write(request);
    expect::next_reply(&mut *replies, size)?;
    replies.cancel();
    expect::fails(replies.read(), Code::Cancelled).map(drop)
}

/// The request wants no reply, and is not the last: a server waits for another.
pub(super) fn timeout_on_sleeping_server(caller: &dyn Caller) -> Checked {
    let options = CallOptions::new().timeout(Duration::from_millis(1));
    let (mut requests, mut replies) = caller.full_duplex_call(options);
    requests.write(messages::unanswered());
    expect::fails(replies.read(), Code::DeadlineExceeded).map(drop)
}

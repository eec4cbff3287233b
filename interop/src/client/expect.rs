//! What cases expect, and what is said when it is otherwise.

use std::fmt::Debug;

use turnstile::{Code, Status};
use turnstile_protos::testing::StreamingOutputCallResponse;

use super::caller::{Outcome, Replies, Reply};
use super::messages;

/// What was not as the case wants it.
pub(super) type Checked<T = ()> = Result<T, String>;

/// The reply of a call that has to go well.
pub(super) fn succeeds<T>(outcome: Outcome<T>) -> Checked<Reply<T>> {
    outcome.map_err(|status| format!("a call failed: {status}"))
}

/// The status of a call that has to end with this code.
pub(super) fn fails<T>(outcome: Result<T, Status>, code: Code) -> Checked<Status> {
    match outcome {
        Ok(_) => Err(format!("a call went well, and should end with {code}")),
        Err(status) if status.code() == code => Ok(status),
        Err(status) => Err(format!("a call should end with {code}, and ended so: {status}")),
    }
}

/// Two things that have to be the same.
pub(super) fn is<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Checked {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what} should be {expected:?}, and is {found:?}"))
}

/// The next reply of a stream, which has to have a payload of this size.
pub(super) fn next_reply(replies: &mut dyn Replies, size: i32) -> Checked {
    match replies.read() {
        Ok(Some(reply)) => payload(&reply, size),
        Ok(None) => Err(format!("a stream has ended, before a reply of {size} bytes")),
        Err(status) => Err(format!("a stream failed, before a reply of {size} bytes: {status}")),
    }
}

/// The end of a stream that has to go well.
pub(super) fn end(replies: &mut dyn Replies) -> Checked {
    match replies.read() {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err("a stream has a reply after its last".to_owned()),
        Err(status) => Err(format!("a stream failed: {status}")),
    }
}

fn payload(reply: &StreamingOutputCallResponse, size: i32) -> Checked {
    messages::check_payload(reply.payload.as_ref(), size)
}

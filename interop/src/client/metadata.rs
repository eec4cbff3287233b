//! Cases of metadata, and of statuses, that come back as they were sent.

use turnstile::{CallOptions, Code, Metadata, Status};

use super::caller::Caller;
use super::expect::{self, Checked};
use super::messages::{self, ECHO_INITIAL, ECHO_TRAILING};

pub(super) fn custom(caller: &dyn Caller) -> Checked {
    let options = CallOptions::new()
        .metadata(ECHO_INITIAL.0, ECHO_INITIAL.1)
        .metadata_bin(ECHO_TRAILING.0, ECHO_TRAILING.1);

    let unary = caller.unary_call(messages::large_unary(), options.clone());
    let reply = expect::succeeds(unary)?;
    messages::check_payload(reply.message.payload.as_ref(), messages::LARGE_RESPONSE)?;
    has_come_back(&reply.metadata, &reply.trailers)?;

    let (mut requests, mut replies) = caller.full_duplex_call(options);
    requests.write(messages::large_stream());
    requests.close();
    let initial = replies.metadata();
    expect::next_reply(&mut *replies, messages::LARGE_RESPONSE)?;
    expect::end(&mut *replies)?;
    has_come_back(&initial, &replies.trailers())
}

/// Each of the two where it belongs, and only there.
fn has_come_back(initial: &Metadata, trailing: &Metadata) -> Checked {
    expect::is("the initial metadata", initial.get(ECHO_INITIAL.0), Some(ECHO_INITIAL.1))?;
    let values = trailing.get_all_bin(ECHO_TRAILING.0).collect::<Result<Vec<_>, _>>();
    let values = values.map_err(|error| error.to_string())?;
    expect::is("the trailing metadata", values, vec![ECHO_TRAILING.1.into()])?;
    expect::is(
        "trailing metadata before the reply",
        initial.get_bin(ECHO_TRAILING.0).is_some(),
        false,
    )?;
    expect::is("initial metadata behind the reply", trailing.get(ECHO_INITIAL.0), None)
}

pub(super) fn status_code_and_message(caller: &dyn Caller) -> Checked {
    let text = messages::STATUS_MESSAGE;
    unary_fails_with(caller, text)?;
    let (mut requests, mut replies) = caller.full_duplex_call(CallOptions::new());
    requests.write(messages::failing_stream(text));
    requests.close();
    is_told(&expect::fails(replies.read(), Code::from_i32(messages::STATUS_CODE))?, text)
}

pub(super) fn special_status_message(caller: &dyn Caller) -> Checked {
    unary_fails_with(caller, messages::SPECIAL_MESSAGE)
}

fn unary_fails_with(caller: &dyn Caller, text: &str) -> Checked {
    let outcome = caller.unary_call(messages::failing_unary(text), CallOptions::new());
    is_told(&expect::fails(outcome, Code::from_i32(messages::STATUS_CODE))?, text)
}

fn is_told(status: &Status, text: &str) -> Checked {
    expect::is("the status message", status.message(), text)
}

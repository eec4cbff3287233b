//! Cases of calls with one request and one reply.

use std::time::{SystemTime, UNIX_EPOCH};

use turnstile::CallOptions;
use turnstile::prost::Message as _;
use turnstile_protos::testing::SimpleResponse;

use super::caller::{Caller, Outcome};
use super::expect::{self, Checked};
use super::messages;

pub(super) fn empty(caller: &dyn Caller) -> Checked {
    let reply = expect::succeeds(caller.empty_call())?;
    expect::is("the size of the reply", reply.message.encoded_len(), 0)
}

pub(super) fn large(caller: &dyn Caller) -> Checked {
    is_large(caller.unary_call(messages::large_unary(), CallOptions::new()))
}

/// The reply of a large unary call.
pub(super) fn is_large(outcome: Outcome<SimpleResponse>) -> Checked {
    let reply = expect::succeeds(outcome)?;
    messages::check_payload(reply.message.payload.as_ref(), messages::LARGE_RESPONSE)
}

/// The case is about a proxy that keeps a reply, so that both are the same. There is none here, and this
/// library sends no GET; so it looks for what a proxy would act on.
pub(super) fn cacheable(caller: &dyn Caller) -> Checked {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let request = messages::cacheable_unary(now.as_nanos());
    // A proxy may look at whom a reply is for.
    let options = CallOptions::new().metadata("x-user-ip", "1.2.3.4");
    for _ in 0..2 {
        let outcome = caller.cacheable_unary_call(request.clone(), options.clone());
        let reply = expect::succeeds(outcome)?;
        let body = reply.message.payload.unwrap_or_default().body;
        let is_time = !body.is_empty() && body.iter().all(u8::is_ascii_digit);
        expect::is("whether the payload is a time", is_time, true)?;
        let cached = reply.metadata.get("cache-control");
        expect::is("cache-control", cached, Some("max-age=60, public"))?;
    }
    Ok(())
}

pub(super) fn pick_first(caller: &dyn Caller) -> Checked {
    let mut first = None;
    for _ in 0..messages::PICK_FIRST_CALLS {
        let outcome = caller.unary_call(messages::pick_first_unary(), CallOptions::new());
        let id = expect::succeeds(outcome)?.message.server_id;
        expect::is("whether the server has an id", !id.is_empty(), true)?;
        let first = first.get_or_insert_with(|| id.clone());
        expect::is("the server", id.as_str(), first)?;
    }
    Ok(())
}

//! Cases of a server that breaks what a client may rely on.
//!
//! Such a server sees whether the client did what is right; here it is only about how calls end.

use turnstile::{CallOptions, Code};

use super::caller::Caller;
use super::expect::{self, Checked};
use super::{messages, unary};

/// The server says GOAWAY during the first call, and answers it.
pub(super) fn goaway(caller: &dyn Caller) -> Checked {
    unary::large(caller)?;
    unary::large(caller)
}

/// The server resets the call with NO_ERROR, before there is a status. gRPC's PROTOCOL-HTTP2 maps that
/// to INTERNAL.
pub(super) fn reset(caller: &dyn Caller) -> Checked {
    let outcome = caller.unary_call(messages::large_unary(), CallOptions::new());
    expect::fails(outcome, Code::Internal).map(drop)
}

/// The server says in the first call that it takes one at a time.
pub(super) fn max_streams(caller: &dyn Caller) -> Checked {
    unary::large(caller)?;
    let requests = vec![messages::large_unary(); messages::MAX_STREAMS_CALLS];
    caller.unary_calls(requests).into_iter().try_for_each(unary::is_large)
}

//! Cases in which some messages are compressed, and others are not.
//!
//! A server that looks at no request's flag passes a wrong one, so the first call of each case that sends
//! them has a wrong one, which must be refused.

use turnstile::{CallOptions, Code};

use super::caller::{Caller, Packing};
use super::expect::{self, Checked};
use super::{compressed, messages, unary};

pub(super) fn client_unary(caller: &dyn Caller) -> Checked {
    let [plain, compressed] = [CallOptions::new(), compressed()];
    let expecting = messages::client_compressed_unary;
    expect::fails(caller.unary_call(expecting(true), plain.clone()), Code::InvalidArgument)?;
    unary::is_large(caller.unary_call(expecting(true), compressed))?;
    unary::is_large(caller.unary_call(expecting(false), plain))
}

pub(super) fn server_unary(caller: &dyn Caller) -> Checked {
    for wanted in [true, false] {
        let request = messages::server_compressed_unary(wanted);
        let outcome = caller.unary_call(request, CallOptions::new());
        let found = outcome.as_ref().is_ok_and(|reply| reply.was_compressed);
        unary::is_large(outcome)?;
        expect::is("whether the reply is compressed", found, wanted)?;
    }
    Ok(())
}

pub(super) fn client_streaming(caller: &dyn Caller) -> Checked {
    let [first, second] = messages::client_compressed_streaming();
    let mut probe = caller.streaming_input_call(compressed());
    probe.write(first.clone(), Packing::Uncompressed);
    expect::fails(probe.finish(), Code::InvalidArgument)?;

    let mut upload = caller.streaming_input_call(compressed());
    upload.write(first, Packing::AsTheCall);
    upload.write(second, Packing::Uncompressed);
    let reply = expect::succeeds(upload.finish())?;
    let size = reply.message.aggregated_payload_size;
    expect::is("the size of all payloads", size, messages::COMPRESSED_AGGREGATED_SIZE)
}

pub(super) fn server_streaming(caller: &dyn Caller) -> Checked {
    let mut replies = caller.streaming_output_call(messages::server_compressed_streaming());
    for (wanted, size) in messages::COMPRESSED_RESPONSE_SIZES {
        expect::next_reply(&mut *replies, size)?;
        expect::is("whether the reply is compressed", replies.was_compressed(), wanted)?;
    }
    expect::end(&mut *replies)
}

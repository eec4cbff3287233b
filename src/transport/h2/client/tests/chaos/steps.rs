//! What may happen.

use proptest::prelude::*;

/// What a client, or its server, does next. Numbers name one of the calls or streams that there are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Begin,
    Send {
        call: usize,
        length: usize,
        is_last: bool,
    },
    HalfClose(usize),
    Poll(usize),
    Cancel(usize),
    Drop(usize),
    Leave,
    Places(u32),
    Window(u32),
    Room(usize),
    Informational(usize),
    Answer(usize),
    Data {
        stream: usize,
        length: usize,
        part: usize,
        ends: bool,
    },
    Trailers(usize),
    Alone(usize),
    HttpError(usize),
    Reset {
        stream: usize,
        code: u32,
    },
    GoAway {
        last: u32,
        code: u32,
    },
    /// Any frame at all, but PUSH_PROMISE: for a stream that was reset it trips an assertion of h2's, in
    /// builds that have them (`handle_poll2_result`), and the connection is closed as after any panic.
    Frame {
        kind: u8,
        flags: u8,
        stream: u32,
        length: usize,
        fill: u8,
    },
    Work,
}

/// Some step, most often one that goes on with a call.
pub(super) fn step() -> impl Strategy<Value = Step> {
    let which = || 0..8_usize;
    let length = || prop_oneof![0..10_usize, 10_000..100_000_usize];
    prop_oneof![
        12 => Just(Step::Begin),
        10 => (which(), length(), any::<bool>())
            .prop_map(|(call, length, is_last)| Step::Send { call, length, is_last }),
        8 => which().prop_map(Step::HalfClose),
        12 => which().prop_map(Step::Poll),
        3 => which().prop_map(Step::Cancel),
        2 => which().prop_map(Step::Drop),
        1 => Just(Step::Leave),
        4 => (0..4_u32).prop_map(Step::Places),
        3 => prop_oneof![Just(0), Just(10), Just(65_535)].prop_map(Step::Window),
        4 => which().prop_map(Step::Room),
        2 => which().prop_map(Step::Informational),
        10 => which().prop_map(Step::Answer),
        10 => (which(), length(), 0..110_000_usize, any::<bool>()).prop_map(
            |(stream, length, part, ends)| Step::Data { stream, length, part, ends }
        ),
        8 => which().prop_map(Step::Trailers),
        2 => which().prop_map(Step::Alone),
        1 => which().prop_map(Step::HttpError),
        3 => (which(), 0..15_u32).prop_map(|(stream, code)| Step::Reset { stream, code }),
        1 => (0..12_u32, 0..3_u32).prop_map(|(last, code)| Step::GoAway { last, code }),
        1 => Just(Step::GoAway { last: 0x7fff_ffff, code: 0 }),
        1 => (prop_oneof![0..5_u8, 6..11_u8], any::<u8>(), 0..12_u32, 0..40_usize, any::<u8>()).prop_map(
            |(kind, flags, stream, length, fill)| Step::Frame { kind, flags, stream, length, fill }
        ),
        25 => Just(Step::Work),
    ]
}

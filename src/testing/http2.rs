//! HTTP/2 frames as bytes (RFC 9113, section 4.1), for tests that count them or the writes they
//! come in.

/// What a client sends first (RFC 9113, section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const PADDED: u8 = 0x8;
const END_HEADERS: u8 = 0x4;

/// The longest payload that needs no leave (section 4.2).
const MAX_FRAME: usize = 16 * 1024;

const HEADER_LEN: usize = 9;

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl Frame {
    pub(crate) fn ends_stream(&self) -> bool {
        self.kind == HEADERS && self.flags & END_STREAM != 0
    }
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What a client begins with.
pub(crate) fn greeting() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// A request of gRPC without a message, as one HEADERS frame.
pub(crate) fn request(stream: u32) -> Vec<u8> {
    request_for("/test.Test/Test", stream)
}

/// The same, after which messages may come.
pub(crate) fn open_request(stream: u32) -> Vec<u8> {
    request_with("/test.Test/Test", stream, 0)
}

/// A request without a message, of another method.
pub(crate) fn request_for(path: &str, stream: u32) -> Vec<u8> {
    request_with(path, stream, END_STREAM)
}

fn request_with(path: &str, stream: u32, flags: u8) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    headers(stream, flags, &fields)
}

/// A block of headers, in as many frames as it needs.
pub(crate) fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        // Literal and never indexed (RFC 7541, section 6.2.3).
        block.push(0x10);
        for text in [name, value] {
            write_length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    let mut parts: Vec<_> = block.chunks(MAX_FRAME).collect();
    let last = parts.pop().unwrap_or_default();
    let mut bytes = Vec::new();
    let (mut kind, mut flags) = (HEADERS, flags);
    for part in parts {
        bytes.extend(frame(kind, flags, stream, part));
        (kind, flags) = (CONTINUATION, 0);
    }
    bytes.extend(frame(kind, flags | END_HEADERS, stream, last));
    bytes
}

/// An integer with a prefix of seven bits, of which the eighth says that no Huffman code follows
/// (RFC 7541, section 5.1).
fn write_length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        return block.push(u8::try_from(length).expect("short"));
    };
    block.push(127);
    while rest >= 128 {
        block.push((rest % 128) as u8 | 0x80);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// The frames in `bytes`, of which each must be whole.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<HEADER_LEN>().unwrap();
        found.push(Frame { kind, flags, stream: u32::from_be_bytes(stream) });
        bytes = &bytes[HEADER_LEN + u32::from_be_bytes([0, a, b, c]) as usize..];
    }
    found
}

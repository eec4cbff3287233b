//! HTTP/2 frames (RFC 9113, section 4.1 and 6), as bytes.

/// What a client sends first (RFC 9113, section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// The id of `SETTINGS_MAX_CONCURRENT_STREAMS`.
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;

/// The id of `SETTINGS_INITIAL_WINDOW_SIZE`.
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// The largest payload that every peer takes.
pub(crate) const MAX_PAYLOAD: usize = 16_384;

/// The stream id of a first, graceful GOAWAY: no stream is excluded yet.
pub(crate) const ALL_STREAMS: u32 = (1 << 31) - 1;

const HEADER_LEN: usize = 9;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    pub(crate) fn data(stream: u32, payload: impl Into<Vec<u8>>, end: bool) -> Self {
        Self::new(DATA, if end { END_STREAM } else { 0 }, stream, payload)
    }

    pub(crate) fn reset(stream: u32, code: u32) -> Self {
        Self::new(RST_STREAM, 0, stream, code.to_be_bytes())
    }

    pub(crate) fn window_update(stream: u32, bytes: u32) -> Self {
        Self::new(WINDOW_UPDATE, 0, stream, bytes.to_be_bytes())
    }

    pub(crate) fn ping(payload: [u8; 8]) -> Self {
        Self::new(PING, 0, 0, payload)
    }

    pub(crate) fn settings(settings: &[(u16, u32)]) -> Self {
        let bytes = |(id, value): &(u16, u32)| {
            id.to_be_bytes().into_iter().chain(value.to_be_bytes()).collect::<Vec<_>>()
        };
        Self::new(SETTINGS, 0, 0, settings.iter().flat_map(bytes).collect::<Vec<_>>())
    }

    /// The frames of a header block: HEADERS, and CONTINUATION as often as it takes.
    pub(crate) fn headers(stream: u32, block: &[u8], end_stream: bool) -> Vec<Self> {
        let mut frames: Vec<_> = block
            .chunks(MAX_PAYLOAD)
            .map(|part| Self::new(CONTINUATION, 0, stream, part))
            .collect();
        frames[0].kind = HEADERS;
        frames[0].flags = if end_stream { END_STREAM } else { 0 };
        if let Some(last) = frames.last_mut() {
            last.flags |= END_HEADERS;
        }
        frames
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The big-endian number at `at` in the payload.
    pub(crate) fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a frame is short");
        let mut bytes = length.to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// Takes the first frame off, if it is there in full.
    pub(crate) fn take(buffer: &mut Vec<u8>) -> Option<Self> {
        let header: [u8; HEADER_LEN] = buffer.get(..HEADER_LEN)?.try_into().ok()?;
        let [a, b, c, kind, flags, stream @ ..] = header;
        let end = HEADER_LEN + u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = buffer.get(HEADER_LEN..end)?.to_vec();
        buffer.drain(..end);
        Some(Self { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }
}

/// The bytes of many frames.
pub(crate) fn to_bytes<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Vec<u8> {
    frames.into_iter().flat_map(Frame::to_bytes).collect()
}

/// A header block in which every field is literal and never indexed (RFC 7541, section 6.2.3).
pub(crate) fn header_block(fields: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10);
        for text in [name.as_bytes(), value] {
            put_length(&mut block, text.len());
            block.extend(text);
        }
    }
    block
}

/// An integer with a prefix of 7 bits (RFC 7541, section 5.1); the 8th says "not Huffman".
fn put_length(block: &mut Vec<u8>, length: usize) {
    if length < 0x7f {
        block.push(length as u8);
        return;
    }
    block.push(0x7f);
    let mut rest = length - 0x7f;
    while rest >= 0x80 {
        block.push((rest % 0x80) as u8 | 0x80);
        rest /= 0x80;
    }
    block.push(rest as u8);
}

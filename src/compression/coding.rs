//! What encodings do: bytes to fewer bytes, and back, up to a limit.

use super::Encoding;
use crate::status::Status;
use bytes::Bytes;
use std::io::{self, Read};

/// Messages below this size are sent as they are: no encoding has a header that they could make up
/// for.
const SMALL: usize = 64;

/// How much a message is expected to grow when it is decompressed, and the least it gets.
const GROWTH: usize = 4;
const LEAST_ROOM: usize = 256;

impl Encoding {
    /// The message in this encoding; `None` if that is not smaller.
    pub(crate) fn compress(self, message: &[u8]) -> Option<Bytes> {
        if message.len() < SMALL {
            return None;
        }
        let compressed = match self.encode(message) {
            Ok(compressed) => compressed,
            Err(error) => {
                // Memory cannot be had, which zstd reports: a message is a message without it.
                tracing::warn!(%error, encoding = self.name(), "a message is sent uncompressed");
                return None;
            }
        };
        (compressed.len() < message.len()).then(|| compressed.into())
    }

    fn encode(self, message: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip => {
                let level = flate2::Compression::default();
                read_all(flate2::bufread::GzEncoder::new(message, level), message.len())
            }
            #[cfg(feature = "deflate")]
            Self::Deflate => {
                let level = flate2::Compression::default();
                read_all(flate2::bufread::ZlibEncoder::new(message, level), message.len())
            }
            #[cfg(feature = "zstd")]
            Self::Zstd => zstd::bulk::compress(message, zstd::DEFAULT_COMPRESSION_LEVEL),
        }
    }

    /// What a message was before it was compressed. Never holds more than `limit` bytes of it.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED if it has more than that; INTERNAL if it is not in this encoding, or if
    /// anything follows it.
    pub(crate) fn decompress(self, message: &[u8], limit: usize) -> Result<Bytes, Status> {
        let expected = message.len().saturating_mul(GROWTH).max(LEAST_ROOM);
        let decoded = match self {
            #[cfg(feature = "gzip")]
            Self::Gzip => {
                let mut decoder = flate2::bufread::GzDecoder::new(message);
                read_up_to(&mut decoder, expected, limit).map(|data| (data, decoder.into_inner()))
            }
            #[cfg(feature = "deflate")]
            Self::Deflate => {
                let mut decoder = Inflate::new(message);
                read_up_to(&mut decoder, expected, limit).map(|data| (data, decoder.input))
            }
            #[cfg(feature = "zstd")]
            Self::Zstd => zstd_decoder(message, limit).and_then(|mut decoder| {
                read_up_to(&mut decoder, expected, limit).map(|data| (data, decoder.finish()))
            }),
        };
        match decoded {
            Ok((Some(data), [])) => Ok(data.into()),
            Ok((Some(_), rest)) => Err(Status::internal(format!(
                "{} bytes follow the end of a message that is compressed as {self}",
                rest.len(),
            ))),
            Ok((None, _)) => Err(Status::resource_exhausted(format!(
                "message larger than max: {} bytes of {self} are more than {limit} when decompressed",
                message.len(),
            ))),
            Err(error) => Err(Status::internal(format!(
                "a message cannot be decompressed as {self}: {error}",
            ))
            .with_source(error)),
        }
    }
}

/// Reads to the end. What comes is expected to be shorter than `longest`.
#[cfg(any(feature = "gzip", feature = "deflate"))]
fn read_all(mut reader: impl Read, longest: usize) -> io::Result<Vec<u8>> {
    let mut data = Vec::with_capacity(longest / 2);
    reader.read_to_end(&mut data)?;
    Ok(data)
}

/// Reads to the end; `None` if that is not within `limit` bytes, and then no more were kept.
pub(super) fn read_up_to(
    reader: &mut impl Read,
    expected: usize,
    limit: usize,
) -> io::Result<Option<Vec<u8>>> {
    let mut data = vec![0; expected.min(limit)];
    let mut filled = 0;
    loop {
        if filled == data.len() {
            if filled == limit {
                // All of a message that is as long as the limit is there, if nothing more comes.
                let is_all = read(reader, &mut [0])? == 0;
                return Ok(is_all.then_some(data));
            }
            let length = filled.saturating_mul(2).min(limit);
            // A vector that grows by itself may take half as much again.
            data.reserve_exact(length - filled);
            data.resize(length, 0);
        }
        match read(reader, &mut data[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    data.truncate(filled);
    Ok(Some(data))
}

fn read(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A decoder of one zlib stream. flate2's own takes one that is cut off for one that has ended.
#[cfg(feature = "deflate")]
struct Inflate<'a> {
    stream: flate2::Decompress,
    /// What has not been read.
    input: &'a [u8],
    has_ended: bool,
}

#[cfg(feature = "deflate")]
impl<'a> Inflate<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self { stream: flate2::Decompress::new(true), input, has_ended: false }
    }
}

#[cfg(feature = "deflate")]
impl Read for Inflate<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.has_ended && !buffer.is_empty() {
            let before = (self.stream.total_in(), self.stream.total_out());
            let flush = flate2::FlushDecompress::None;
            let status = self.stream.decompress(self.input, buffer, flush)?;
            let taken = (self.stream.total_in() - before.0) as usize;
            let made = (self.stream.total_out() - before.1) as usize;
            self.input = self.input.get(taken..).unwrap_or_default();
            self.has_ended = status == flate2::Status::StreamEnd;
            if made > 0 {
                return Ok(made);
            }
            if taken == 0 && !self.has_ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(0)
    }
}

/// The windows that a zstd decoder must be able to keep (RFC 8878, section 3.1.1.1.2), as powers of
/// two: 8 MiB; and the most that the library allows itself.
#[cfg(feature = "zstd")]
const ZSTD_WINDOWS: std::ops::RangeInclusive<u32> = 23..=27;

/// A decoder of one zstd frame. Its window is memory too, so it is no longer than a message may be,
/// or than any decoder must allow.
#[cfg(feature = "zstd")]
fn zstd_decoder(
    message: &[u8],
    limit: usize,
) -> io::Result<zstd::stream::read::Decoder<'static, &[u8]>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(message)?.single_frame();
    let window = limit.checked_next_power_of_two().map_or(u32::MAX, usize::trailing_zeros);
    decoder.window_log_max(window.clamp(*ZSTD_WINDOWS.start(), *ZSTD_WINDOWS.end()))?;
    Ok(decoder)
}

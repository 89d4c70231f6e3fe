//! Messages compressed and inflated (RFC 7692 section 7.2).
//!
//! Without context takeover, which is the default, a message stands for itself: the connections of a
//! reactor share the streams of one [`Codec`], and a connection owns one only while a compressed
//! message of its peer is incomplete. With takeover a connection has its own, made when they are
//! first needed. A message is inflated as it arrives, into memory that grows with it up to one byte
//! more than it may have: that byte tells that it is too large.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::offer::Deflate;
use crate::limits::{WS_AHEAD, WS_INFLATERS};

/// The end of what a flush writes, which is not sent (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Room that a compressor always finds: a flush and more, or it would be written twice.
const FLUSH: usize = 64;

/// The streams of one connection with takeover.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    compress: Option<Compress>,
    inflate: Option<Decompress>,
}

/// What the connections of one reactor share.
#[derive(Debug, Default)]
pub struct Codec {
    /// By window bits and level, of which there are few.
    compress: Vec<(u8, u8, Compress)>,
    inflate: Vec<Decompress>,
}

impl Codec {
    #[must_use]
    pub const fn new() -> Self {
        Self {
            compress: Vec::new(),
            inflate: Vec::new(),
        }
    }

    /// Appends a message, compressed. If it does not become smaller, which a peer that keeps its
    /// context has to bear, nothing is appended and this is false.
    pub(super) fn compress(
        &mut self,
        deflate: &Deflate,
        contexts: &mut Option<Box<Contexts>>,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let start = out.len();
        let stream = if deflate.server_takeover {
            let own = &mut contexts.get_or_insert_default().compress;
            own.get_or_insert_with(|| compressor(deflate))
        } else {
            let stream = self.compressor(deflate);
            stream.reset();
            stream
        };
        let flushed = flush(stream, data, out);
        if flushed && (deflate.server_takeover || out.len() - start < data.len()) {
            return true;
        }
        if !flushed {
            // What was not sent must not be referred to.
            stream.reset();
        }
        out.truncate(start);
        false
    }

    fn compressor(&mut self, deflate: &Deflate) -> &mut Compress {
        let (bits, level) = (deflate.server_bits, deflate.level);
        let found = self
            .compress
            .iter()
            .position(|&(b, l, _)| (b, l) == (bits, level));
        let place = found.unwrap_or_else(|| {
            self.compress.push((bits, level, compressor(deflate)));
            self.compress.len() - 1
        });
        &mut self.compress[place].2
    }

    /// The stream for a message that begins.
    pub(super) fn inflater(
        &mut self,
        deflate: &Deflate,
        contexts: &mut Option<Box<Contexts>>,
    ) -> Inflater {
        let kept = if deflate.client_takeover {
            contexts.as_mut().and_then(|own| own.inflate.take())
        } else {
            self.inflate.pop()
        };
        Inflater(kept.unwrap_or_else(|| Decompress::new(false)))
    }

    /// Takes the stream of a message that is complete.
    pub(super) fn give_back(
        &mut self,
        deflate: &Deflate,
        contexts: &mut Option<Box<Contexts>>,
        Inflater(mut stream): Inflater,
    ) {
        if deflate.client_takeover {
            contexts.get_or_insert_default().inflate = Some(stream);
        } else if self.inflate.len() < WS_INFLATERS {
            // The next connection's message must not reach into this one's.
            stream.reset(false);
            self.inflate.push(stream);
        }
    }
}

fn compressor(deflate: &Deflate) -> Compress {
    let level = Compression::new(u32::from(deflate.level));
    Compress::new_with_window_bits(level, false, deflate.server_bits)
}

/// Appends what `data` is compressed to, without the tail; false where the stream fails.
fn flush(stream: &mut Compress, data: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = data;
    out.reserve(data.len() / 2 + FLUSH);
    loop {
        let before = stream.total_in();
        if stream.compress_vec(rest, out, FlushCompress::Sync).is_err() {
            return false;
        }
        rest = advance(rest, stream.total_in() - before);
        // Room is left, so that everything is out.
        if out.len() < out.capacity() && rest.is_empty() {
            break;
        }
        out.reserve(rest.len() / 2 + FLUSH);
    }
    let ended = out.ends_with(&TAIL);
    if ended {
        out.truncate(out.len() - TAIL.len());
    }
    ended
}

/// Why a message cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    TooLarge,
    Corrupt,
}

/// A stream that inflates one message.
#[derive(Debug)]
pub(super) struct Inflater(Decompress);

impl Inflater {
    /// Inflates the next piece of a message. What it comes to before it is found unfit is appended
    /// all the same, at most `limit` bytes and one in all.
    pub(super) fn push(
        &mut self,
        piece: &[u8],
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), Unfit> {
        let stream = &mut self.0;
        let most = limit.saturating_add(1);
        let mut rest = piece;
        if rest.is_empty() {
            return Ok(());
        }
        loop {
            if out.len() == out.capacity() {
                let guess = rest.len().saturating_mul(4).clamp(FLUSH, WS_AHEAD);
                let more = guess.max(out.len()).min(most.saturating_sub(out.len()));
                out.reserve_exact(more);
            }
            let before = (stream.total_in(), out.len());
            let status = stream.decompress_vec(rest, out, FlushDecompress::Sync);
            let used = stream.total_in() - before.0;
            rest = advance(rest, used);
            if out.len() > limit {
                return Err(Unfit::TooLarge);
            }
            match status {
                Err(_) => return Err(Unfit::Corrupt),
                // Section 7.2.3.4: a final block is no end of the message.
                Ok(Status::StreamEnd) => stream.reset(false),
                Ok(_) => {}
            }
            if rest.is_empty() && out.len() < out.capacity() {
                return Ok(());
            }
            if used == 0 && out.len() == before.1 {
                // There was room, and bytes to look at unless all had been used.
                return if rest.is_empty() {
                    Ok(())
                } else {
                    Err(Unfit::Corrupt)
                };
            }
        }
    }

    /// Inflates the end of a message, which was not sent (section 7.2.2).
    pub(super) fn finish(&mut self, out: &mut Vec<u8>, limit: usize) -> Result<(), Unfit> {
        // After a final block, or nothing at all, there is nothing that it would end.
        if self.0.total_in() == 0 {
            return Ok(());
        }
        self.push(&TAIL, out, limit)
    }
}

fn advance(bytes: &[u8], by: u64) -> &[u8] {
    let by = usize::try_from(by).unwrap_or(usize::MAX);
    bytes.get(by..).unwrap_or_default()
}

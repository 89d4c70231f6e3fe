//! A message that is not complete: fragmented, compressed, or simply not there yet.
//!
//! Its bytes are unmasked, inflated and judged as they come, so that none waits anywhere else and a
//! peer that errs is found out at the byte that shows it, however its message was cut. What is
//! announced is refused where it would be too much, and costs no memory where it would not.

use super::close::Failure;
use super::deflate::Inflater;
use super::frame::{Head, Kind};
use super::mask::unmask;
use super::utf8::{Invalid, Utf8};
use crate::limits::{WS_AHEAD, WsLimits};

#[derive(Debug)]
pub(super) struct Partial {
    pub(super) kind: Kind,
    /// What is there of it, inflated.
    pub(super) bytes: Vec<u8>,
    utf8: Utf8,
    pub(super) inflater: Option<Inflater>,
    fragments: u32,
    /// Of the present frame, turned to its next byte.
    mask: [u8; 4],
    /// The present frame is the last.
    fin: bool,
}

impl Partial {
    pub(super) fn new(kind: Kind, head: &Head, inflater: Option<Inflater>) -> Self {
        Self {
            kind,
            bytes: Vec::new(),
            utf8: Utf8::default(),
            inflater,
            fragments: 1,
            mask: head.mask,
            fin: head.fin,
        }
    }

    /// Begins with another frame.
    pub(super) fn next(&mut self, head: &Head, limits: &WsLimits) -> Result<(), Failure> {
        self.fragments = self.fragments.saturating_add(1);
        if self.fragments > limits.fragments {
            return Err(Failure::FRAGMENTS);
        }
        self.mask = head.mask;
        self.fin = head.fin;
        Ok(())
    }

    /// How long the next frame may be. Compressed bytes are not kept, so that only what they are
    /// inflated to is summed up; deflate makes at most an eighth more of what cannot be compressed.
    pub(super) fn room(&self, limits: &WsLimits) -> u64 {
        let limit = limits.message as u64;
        if self.inflater.is_some() {
            limit.saturating_add(limit / 8 + 64)
        } else {
            limit.saturating_sub(self.bytes.len() as u64)
        }
    }

    /// Takes the next piece of the present frame, after which `left` bytes of it are missing.
    pub(super) fn push(
        &mut self,
        piece: &mut [u8],
        left: u64,
        limits: &WsLimits,
    ) -> Result<(), Failure> {
        unmask(piece, &mut self.mask);
        let mut start = self.bytes.len();
        let last = self.is_complete(left);
        let Some(inflater) = &mut self.inflater else {
            reserve(&mut self.bytes, piece.len(), self.fin.then_some(left));
            self.bytes.extend_from_slice(piece);
            self.check(start, last)?;
            return Ok(());
        };
        let outcome = inflater.push(piece, &mut self.bytes, limits.message);
        // Of a message that is too large, what went before is judged first, however it came.
        self.bytes.truncate(limits.message);
        self.check(start, false)?;
        outcome?;
        if last && let Some(inflater) = &mut self.inflater {
            start = self.bytes.len();
            let outcome = inflater.finish(&mut self.bytes, limits.message);
            self.bytes.truncate(limits.message);
            self.check(start, outcome.is_ok())?;
            outcome?;
        }
        Ok(())
    }

    /// Judges the bytes of a text from `start` on.
    fn check(&mut self, start: usize, last: bool) -> Result<(), Invalid> {
        if self.kind == Kind::Binary {
            return Ok(());
        }
        self.utf8.push(&self.bytes[start..])?;
        if last && !self.utf8.is_complete() {
            return Err(Invalid);
        }
        Ok(())
    }

    pub(super) fn is_complete(&self, left: u64) -> bool {
        self.fin && left == 0
    }
}

/// Makes room for `piece` bytes and the `more` that end the message, where it is known how many.
/// They are believed where they are few; otherwise room grows with what is there, so that no byte
/// is moved many times.
fn reserve(bytes: &mut Vec<u8>, piece: usize, more: Option<u64>) {
    let more = more.and_then(|more| usize::try_from(more).ok());
    match more.filter(|&more| more <= WS_AHEAD) {
        Some(more) if bytes.len() + piece > bytes.capacity() => bytes.reserve_exact(piece + more),
        _ => bytes.reserve(piece),
    }
}

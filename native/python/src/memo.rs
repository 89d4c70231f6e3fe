//! Header lines as Python has them, kept while clients repeat them.
//!
//! Direct-mapped and bounded in number and size: a line that is not found replaces what stands in
//! its place. The hash is keyed at random, so nobody can aim at a place.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use pyo3::prelude::*;

/// Places of the memo: some hundred bytes each.
const PLACES: usize = 512;
/// A longer line is not kept: cookies and tokens differ from client to client anyway.
const LONGEST: usize = 256;

pub struct Memo<T> {
    lines: Vec<Option<Line<T>>>,
    hasher: RandomState,
}

struct Line<T> {
    name: Box<[u8]>,
    value: Box<[u8]>,
    made: T,
}

impl<T> Memo<T> {
    pub fn new() -> Self {
        Self {
            lines: (0..PLACES).map(|_| None).collect(),
            hasher: RandomState::default(),
        }
    }

    /// What `give` takes of the line, as it is kept or as `make` makes it.
    ///
    /// # Errors
    /// What `make` returns.
    pub fn line<R>(
        &mut self,
        name: &[u8],
        value: &[u8],
        make: impl FnOnce() -> PyResult<T>,
        give: impl FnOnce(&T) -> R,
    ) -> PyResult<R> {
        if name.len() + value.len() > LONGEST {
            return Ok(give(&make()?));
        }
        let hash = self.hasher.hash_one((name, value));
        let place = &mut self.lines[usize::try_from(hash).unwrap_or(0) % PLACES];
        if let Some(kept) = place
            && *kept.value == *value
            && *kept.name == *name
        {
            return Ok(give(&kept.made));
        }
        let made = make()?;
        let given = give(&made);
        *place = Some(Line {
            name: name.into(),
            value: value.into(),
            made,
        });
        Ok(given)
    }
}

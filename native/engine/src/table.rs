//! The sessions by slot. A slot that is used again has another generation, so that an id which
//! outlived its connection finds nothing.

use crate::session::Session;
use crate::work::SessionId;

pub(crate) struct Table<P: AsRef<[u8]>> {
    entries: Vec<Entry<P>>,
    free: Vec<u32>,
}

struct Entry<P: AsRef<[u8]>> {
    generation: u32,
    session: Option<Session<P>>,
}

impl<P: AsRef<[u8]>> Table<P> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Sessions that are open.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, make: impl FnOnce(SessionId) -> Session<P>) -> SessionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry {
                generation: 0,
                session: None,
            });
            // Descriptors run out long before slots.
            u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 sessions")
        });
        let entry = &mut self.entries[slot as usize];
        let id = SessionId {
            slot,
            generation: entry.generation,
        };
        entry.session = Some(make(id));
        id
    }

    pub(crate) fn get(&mut self, id: SessionId) -> Option<&mut Session<P>> {
        let entry = self.entries.get_mut(id.slot as usize)?;
        entry
            .session
            .as_mut()
            .filter(|_| entry.generation == id.generation)
    }

    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Session<P>> {
        let entry = self.entries.get_mut(id.slot as usize)?;
        if entry.generation != id.generation {
            return None;
        }
        let session = entry.session.take()?;
        // 31 bits: a poller token carries the generation beside the slot.
        entry.generation = (entry.generation + 1) & 0x7fff_ffff;
        self.free.push(id.slot);
        Some(session)
    }

    pub(crate) fn ids(&self) -> Vec<SessionId> {
        self.entries
            .iter()
            .filter_map(|entry| entry.session.as_ref())
            .map(|session| session.id)
            .collect()
    }
}

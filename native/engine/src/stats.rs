//! Counters of one reactor, for the log and for whoever watches the process.

use ferricorn_proto::Fault;

#[derive(Clone, Debug)]
pub struct Stats {
    pub accepted: u64,
    pub requests: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Times that accepting paused because the process ran out of descriptors.
    pub accept_pauses: u64,
    /// Sessions that were cut because of an error of this server's own.
    pub panics: u64,
    refusals: [u64; Fault::ALL.len()],
}

impl Stats {
    pub(crate) fn new() -> Self {
        Self {
            accepted: 0,
            requests: 0,
            bytes_in: 0,
            bytes_out: 0,
            accept_pauses: 0,
            panics: 0,
            refusals: [0; Fault::ALL.len()],
        }
    }

    pub(crate) fn refused(&mut self, fault: Fault) {
        self.refusals[fault.index()] += 1;
    }

    /// Each reason that was met at least once, with its count.
    pub fn refusals(&self) -> impl Iterator<Item = (Fault, u64)> + '_ {
        Fault::ALL
            .iter()
            .map(|&fault| (fault, self.refusals[fault.index()]))
            .filter(|entry| entry.1 > 0)
    }
}

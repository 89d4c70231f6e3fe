//! The application's runs that have not ended.

use ferricorn_engine::ExchangeId;
use ferricorn_proto::Millis;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The application's runs, each in its place.
#[derive(Default)]
pub struct Runs {
    places: Vec<Option<Running>>,
    free: Vec<usize>,
}

/// A run of the application.
pub struct Running {
    exchange: ExchangeId,
    /// The turn in which its request came.
    since: Millis,
    /// Its task, which a loop by itself knows only weakly, and its scope, for who asks what is under
    /// way. Empty until the run's first wait: most have none.
    kept: Option<(Option<Py<PyAny>>, Py<PyDict>)>,
}

impl Runs {
    /// A place for a run that begins.
    pub fn reserve(&mut self, exchange: ExchangeId, since: Millis) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(Running {
            exchange,
            since,
            kept: None,
        });
        place
    }

    /// Keeps a run's task, where it has one, and its scope or environ.
    pub fn keep(&mut self, place: usize, task: Option<Py<PyAny>>, scope: Py<PyDict>) {
        if let Some(running) = &mut self.places[place] {
            running.kept = Some((task, scope));
        }
    }

    /// Where the run for an exchange stands, and its scope or environ.
    pub fn find(&self, exchange: ExchangeId) -> Option<(usize, Option<&Py<PyDict>>)> {
        let place = self.places.iter().position(|run| {
            run.as_ref()
                .is_some_and(|running| running.exchange == exchange)
        })?;
        let kept = self.places[place].as_ref()?.kept.as_ref();
        Some((place, kept.map(|(_, scope)| scope)))
    }

    /// Ends the run's time here, unless that was done; the caller drops what it held without the lock.
    pub fn release(&mut self, place: usize, exchange: ExchangeId) -> Option<Running> {
        let run = self.places.get_mut(place)?;
        let ended = run.take_if(|run| run.exchange == exchange)?;
        self.free.push(place);
        Some(ended)
    }

    pub fn count(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub fn tasks(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let kept = self
            .places
            .iter()
            .flatten()
            .filter_map(|run| run.kept.as_ref()?.0.as_ref());
        kept.map(|task| task.clone_ref(py)).collect()
    }

    /// Each run: its exchange, its beginning and its scope.
    pub fn all(&self, py: Python<'_>) -> Vec<(ExchangeId, Millis, Option<Py<PyDict>>)> {
        let scope = |run: &Running| run.kept.as_ref().map(|(_, scope)| scope.clone_ref(py));
        let runs = self.places.iter().flatten();
        runs.map(|run| (run.exchange, run.since, scope(run)))
            .collect()
    }
}

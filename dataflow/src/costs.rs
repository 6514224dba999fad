//! What each operator costs: for benchmarks, off otherwise.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use timely::logging::{OperatesEvent, ScheduleEvent, StartStop, TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

/// Time spent in each operator by all workers so far, by the operator's name. Operators of one name
/// count together, and what runs within an operator counts as its own.
#[derive(Clone, Default)]
pub struct OperatorCosts(Arc<Mutex<HashMap<String, Duration>>>);

impl OperatorCosts {
    /// (name, time), the greatest first.
    pub fn so_far(&self) -> Vec<(String, Duration)> {
        let costs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut costs: Vec<_> = costs.iter().map(|(name, time)| (name.clone(), *time)).collect();
        costs.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        costs
    }

    /// Counts what `worker` does from now on.
    pub(crate) fn watch(&self, worker: &Worker) {
        let (costs, schedule) = (self.0.clone(), RefCell::new(Schedule::default()));
        let Some(mut register) = worker.log_register() else { return };
        register.insert::<TimelyEventBuilder, _>("timely", move |_, events| {
            let Some(events) = events.take() else { return };
            let mut costs = costs.lock().unwrap_or_else(PoisonError::into_inner);
            for (at, event) in events {
                schedule.borrow_mut().take_in(at, event, &mut costs);
            }
        });
    }
}

/// Which operators run, the innermost last.
#[derive(Default)]
struct Schedule {
    names: HashMap<usize, String>,
    /// (operator, when it or what ran within it last went on).
    running: Vec<(usize, Duration)>,
}

impl Schedule {
    fn take_in(&mut self, at: Duration, event: TimelyEvent, costs: &mut HashMap<String, Duration>) {
        match event {
            TimelyEvent::Operates(OperatesEvent { id, name, .. }) => {
                self.names.insert(id, name);
            }
            TimelyEvent::Schedule(ScheduleEvent { id, start_stop }) => {
                if let Some((outer, since)) = self.running.last_mut() {
                    let spent = at.saturating_sub(*since);
                    let name = self.names.get(outer).cloned().unwrap_or_default();
                    *costs.entry(name).or_default() += spent;
                    *since = at;
                }
                match start_stop {
                    StartStop::Start => self.running.push((id, at)),
                    StartStop::Stop => {
                        self.running.pop();
                        if let Some((_, since)) = self.running.last_mut() {
                            *since = at;
                        }
                    }
                }
            }
            _ => {}
        }
    }
}
